//! Path tracing: follows light backwards from the lens, bouncing until it meets a light, the sky or nothing worth more.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::scene::{Material, Scene};
use crate::vector::Vector;

/// Samples a pass adds to each pixel: small, so that the clock is looked at often.
const SAMPLES_PER_PASS: u32 = 4;
/// Bounces after which the rest of the light is too little to see.
const MOST_BOUNCES: u32 = 12;
/// How far a bounced ray starts from the surface, so that it does not hit it again.
const NUDGE: f32 = 1e-3;

/// What has been seen so far: the sum of all samples of each pixel.
pub struct Film {
    pub width: usize,
    pub height: usize,
    pub samples: u32,
    sums: Vec<Vector>,
}

impl Film {
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            samples: 0,
            sums: vec![Vector::default(); width * height],
        }
    }

    /// Adds a pass to every pixel; threads take rows as they get free.
    pub fn add_pass(&mut self, scene: &Scene, threads: usize) {
        let lens = Lens::new(scene, self.width, self.height);
        let (width, pass) = (self.width, self.samples);
        let rows = Mutex::new(self.sums.chunks_mut(width).enumerate());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let next = rows.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((y, row)) = next else { break };
                        let mut random = Random::new(y as u64, u64::from(pass));
                        for (x, sum) in row.iter_mut().enumerate() {
                            for _ in 0..SAMPLES_PER_PASS {
                                let ray = lens.ray(x, y, &mut random);
                                *sum += light_along(scene, ray, &mut random);
                            }
                        }
                    }
                });
            }
        });
        self.samples += SAMPLES_PER_PASS;
    }

    /// Rows of 8-bit sRGB, bright parts rolled off so that lights keep their colour.
    pub fn to_srgb(&self) -> Vec<u8> {
        let scale = 1.0 / self.samples as f32;
        let byte = |linear: f32| {
            let shown = linear / (1.0 + linear) * 1.6;
            (shown.clamp(0.0, 1.0).powf(1.0 / 2.2) * 255.0 + 0.5) as u8
        };
        self.sums
            .iter()
            .map(|sum| *sum * scale)
            .flat_map(|c| [byte(c.x), byte(c.y), byte(c.z)])
            .collect()
    }
}

#[derive(Clone, Copy)]
struct Ray {
    origin: Vector,
    direction: Vector,
}

/// The camera, ready to send rays through pixels.
struct Lens {
    origin: Vector,
    corner: Vector,
    across: Vector,
    down: Vector,
    right: Vector,
    up: Vector,
    radius: f32,
}

impl Lens {
    fn new(scene: &Scene, width: usize, height: usize) -> Self {
        let camera = &scene.camera;
        let towards = camera.look_at - camera.position;
        let focus = towards.dot(towards).sqrt();
        let forward = towards * (1.0 / focus);
        let right = forward.cross(Vector::new(0.0, 1.0, 0.0)).unit();
        let up = right.cross(forward);
        let tall = 2.0 * focus * (camera.field_of_view_degrees.to_radians() / 2.0).tan();
        let wide = tall * width as f32 / height as f32;
        Self {
            origin: camera.position,
            corner: camera.look_at - right * (wide / 2.0) + up * (tall / 2.0),
            across: right * (wide / width as f32),
            down: -up * (tall / height as f32),
            right,
            up,
            radius: camera.aperture / 2.0,
        }
    }

    fn ray(&self, x: usize, y: usize, random: &mut Random) -> Ray {
        let target = self.corner + self.across * (x as f32 + random.unit()) + self.down * (y as f32 + random.unit());
        let offset = random.in_sphere() * self.radius;
        let origin = self.origin + self.right * offset.x + self.up * offset.y;
        Ray {
            origin,
            direction: (target - origin).unit(),
        }
    }
}

struct Hit {
    point: Vector,
    normal: Vector,
    material: Material,
}

fn light_along(scene: &Scene, mut ray: Ray, random: &mut Random) -> Vector {
    let mut carried = Vector::new(1.0, 1.0, 1.0);
    for bounce in 0..MOST_BOUNCES {
        let Some(hit) = nearest(scene, ray) else {
            let height = ray.direction.y.max(0.0).sqrt();
            let sky = scene.sky.horizon * (1.0 - height) + scene.sky.zenith * height;
            return carried.tinted(sky);
        };
        let (direction, color) = match hit.material {
            Material::Light { color } => return carried.tinted(color),
            Material::Diffuse { color } => ((hit.normal + random.on_sphere()).unit(), color),
            Material::Metal { color, roughness } => (
                reflect(ray.direction, hit.normal) + random.in_sphere() * roughness,
                color,
            ),
            Material::Glass { color } => (through_glass(ray.direction, hit.normal, random), color),
        };
        carried = carried.tinted(color);
        if bounce > 3 {
            // Russian roulette: dim paths end early, survivors count for those that ended.
            let survives = carried.brightest().min(0.95);
            if random.unit() > survives {
                break;
            }
            carried = carried * (1.0 / survives);
        }
        let direction = direction.unit();
        ray = Ray {
            origin: hit.point + direction * NUDGE,
            direction,
        };
    }
    Vector::default()
}

fn nearest(scene: &Scene, ray: Ray) -> Option<Hit> {
    let mut best: Option<(f32, usize)> = None;
    for (index, sphere) in scene.spheres.iter().enumerate() {
        let to_center = sphere.center - ray.origin;
        let along = to_center.dot(ray.direction);
        let reach = sphere.radius * sphere.radius - (to_center.dot(to_center) - along * along);
        if reach <= 0.0 {
            continue;
        }
        let half = reach.sqrt();
        let distance = if along - half > NUDGE {
            along - half
        } else {
            along + half
        };
        if distance > NUDGE && best.is_none_or(|(nearest, _)| distance < nearest) {
            best = Some((distance, index));
        }
    }
    let ground = -ray.origin.y / ray.direction.y;
    if ray.direction.y < 0.0 && ground > NUDGE && best.is_none_or(|(nearest, _)| ground < nearest) {
        let point = ray.origin + ray.direction * ground;
        let square = (point.x.floor() as i64 + point.z.floor() as i64).rem_euclid(2) as usize;
        let material = Material::Diffuse {
            color: scene.ground.colors[square],
        };
        return Some(Hit {
            point,
            normal: Vector::new(0.0, 1.0, 0.0),
            material,
        });
    }
    best.map(|(distance, index)| {
        let sphere = &scene.spheres[index];
        let point = ray.origin + ray.direction * distance;
        let normal = (point - sphere.center) * (1.0 / sphere.radius);
        Hit {
            point,
            normal,
            material: sphere.material,
        }
    })
}

fn reflect(direction: Vector, normal: Vector) -> Vector {
    direction - normal * (2.0 * direction.dot(normal))
}

/// Bends or mirrors by Schlick's approximation, for glass of index 1.5.
fn through_glass(direction: Vector, normal: Vector, random: &mut Random) -> Vector {
    let leaves = direction.dot(normal) > 0.0;
    let (normal, ratio) = if leaves { (-normal, 1.5) } else { (normal, 1.0 / 1.5) };
    let cosine = (-direction).dot(normal).min(1.0);
    let bent = ratio * ratio * (1.0 - cosine * cosine);
    let base = ((1.0 - ratio) / (1.0 + ratio)).powi(2);
    let mirrored = base + (1.0 - base) * (1.0 - cosine).powi(5);
    if bent > 1.0 || random.unit() < mirrored {
        return reflect(direction, normal);
    }
    direction * ratio + normal * (ratio * cosine - (1.0 - bent).sqrt())
}

/// PCG-XSH-RR 64/32 (O'Neill 2014): small, fast, and the same on every machine.
struct Random {
    state: u64,
}

impl Random {
    fn new(row: u64, pass: u64) -> Self {
        let mut random = Self {
            state: row.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ pass.wrapping_mul(0xd134_2543_de82_ef95),
        };
        random.next();
        random
    }

    fn next(&mut self) -> u32 {
        let old = self.state;
        self.state = old
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((((old >> 18) ^ old) >> 27) as u32).rotate_right((old >> 59) as u32)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f32 {
        (self.next() >> 8) as f32 / (1u32 << 24) as f32
    }

    fn in_sphere(&mut self) -> Vector {
        loop {
            let point = Vector::new(
                self.unit() * 2.0 - 1.0,
                self.unit() * 2.0 - 1.0,
                self.unit() * 2.0 - 1.0,
            );
            if point.dot(point) < 1.0 {
                return point;
            }
        }
    }

    fn on_sphere(&mut self) -> Vector {
        self.in_sphere().unit()
    }
}
