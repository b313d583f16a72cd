//! Renders the scene in `$OPENGPU_INPUT` into `$OPENGPU_OUTPUT/image.png`.
//!
//! The picture gets at least the samples per pixel its scene asks for, then more until the scene's seconds are used up:
//! a longer rental buys a cleaner picture. One line of progress a second goes to standard output.

mod scene;
mod tracer;
mod vector;

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use scene::Scene;
use tracer::Film;

fn main() -> ExitCode {
    match render() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("path-tracer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn render() -> Result<(), Box<dyn Error>> {
    let input = folder("OPENGPU_INPUT", "/in");
    let output = folder("OPENGPU_OUTPUT", "/out").join("image.png");
    let path = only_scene(&input)?;
    let scene: Scene = serde_json::from_slice(&fs::read(&path)?).map_err(|e| format!("{}: {e}", path.display()))?;
    scene
        .check()
        .map_err(|problem| format!("{}: {problem}", path.display()))?;

    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let size = &scene.image;
    say(&format!(
        "{}: {}x{}, {} spheres, {threads} threads",
        path.file_name().unwrap_or_default().to_string_lossy(),
        size.width,
        size.height,
        scene.spheres.len()
    ))?;
    let film = expose(&scene, threads)?;
    write_png(&output, &film)?;
    say(&format!(
        "wrote {} at {} samples per pixel",
        output.display(),
        film.samples
    ))?;
    Ok(())
}

/// Adds passes until the picture has both its samples and its seconds.
fn expose(scene: &Scene, threads: usize) -> Result<Film, Box<dyn Error>> {
    let started = Instant::now();
    let seconds = Duration::from_secs(scene.image.seconds.into());
    let mut film = Film::new(scene.image.width, scene.image.height);
    let mut said = Duration::ZERO;
    while film.samples < scene.image.samples_per_pixel || started.elapsed() < seconds {
        film.add_pass(scene, threads);
        let elapsed = started.elapsed();
        if elapsed.as_secs() > said.as_secs() {
            said = elapsed;
            say(&format!(
                "{:>3} s  {:>4} samples per pixel",
                elapsed.as_secs(),
                film.samples
            ))?;
        }
    }
    Ok(film)
}

fn write_png(path: &Path, film: &Film) -> Result<(), Box<dyn Error>> {
    let mut encoder = png::Encoder::new(
        BufWriter::new(File::create(path)?),
        film.width as u32,
        film.height as u32,
    );
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&film.to_srgb())?;
    Ok(())
}

fn folder(variable: &str, otherwise: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| PathBuf::from(otherwise), PathBuf::from)
}

/// The one `.json` file of the input folder, or the input itself where it is a file.
fn only_scene(input: &Path) -> Result<PathBuf, Box<dyn Error>> {
    if input.is_file() {
        return Ok(input.to_owned());
    }
    let mut scenes = Vec::new();
    for entry in fs::read_dir(input).map_err(|e| format!("{}: {e}", input.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            scenes.push(path);
        }
    }
    match scenes.as_slice() {
        [scene] => Ok(scene.clone()),
        found => Err(format!(
            "{} must hold one scene (*.json), found {}",
            input.display(),
            found.len()
        )
        .into()),
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
