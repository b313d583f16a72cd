//! The scene file: what is seen, from where, and how long to look.
//!
//! Lengths are in any one unit; colours are linear red, green, blue (lights may exceed 1); unknown keys are errors.

use serde::Deserialize;

use crate::vector::Vector;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scene {
    pub image: Image,
    pub camera: Camera,
    pub sky: Sky,
    pub ground: Ground,
    pub spheres: Vec<Sphere>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    /// At least this many, however long it takes.
    pub samples_per_pixel: u32,
    /// At least this long, however many samples fit.
    pub seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Camera {
    pub position: Vector,
    pub look_at: Vector,
    /// Vertical angle of view.
    pub field_of_view_degrees: f32,
    /// Diameter of the lens; what is not at `look_at`'s distance blurs by it.
    pub aperture: f32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sky {
    pub horizon: Vector,
    pub zenith: Vector,
}

/// The plane y = 0, in squares of two colours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    pub colors: [Vector; 2],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sphere {
    pub center: Vector,
    pub radius: f32,
    pub material: Material,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, tag = "kind")]
pub enum Material {
    Diffuse { color: Vector },
    Metal { color: Vector, roughness: f32 },
    Glass { color: Vector },
    Light { color: Vector },
}

impl Scene {
    /// What no renderer could make sense of, naming the field.
    pub fn check(&self) -> Result<(), String> {
        let Image {
            width,
            height,
            samples_per_pixel,
            seconds,
        } = self.image;
        if !(1..=8192).contains(&width) || !(1..=8192).contains(&height) {
            return Err(format!("image: width and height must be 1..8192, got {width}x{height}"));
        }
        if samples_per_pixel == 0 || samples_per_pixel > 65_536 || seconds > 86_400 {
            return Err("image: samplesPerPixel must be 1..65536 and seconds at most 86400".to_owned());
        }
        let angle = self.camera.field_of_view_degrees;
        if !(1.0..=170.0).contains(&angle) {
            return Err(format!("camera.fieldOfViewDegrees: must be 1..170, got {angle}"));
        }
        if self.camera.position == self.camera.look_at {
            return Err("camera.lookAt: must differ from position".to_owned());
        }
        match self
            .spheres
            .iter()
            .position(|sphere| !(sphere.radius > 0.0 && sphere.center.is_finite()))
        {
            Some(index) => Err(format!("spheres[{index}].radius: must be above 0")),
            None => Ok(()),
        }
    }
}
