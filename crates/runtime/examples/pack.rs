//! Packs one program into an image archive: `pack ARCHIVE IMAGE PROGRAM PATH-IN-IMAGE`.

use std::error::Error;

use runtime::images::build::ImageBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [archive, image, program, path] = arguments.as_slice() else {
        return Err("usage: pack ARCHIVE IMAGE PROGRAM PATH-IN-IMAGE".into());
    };
    let mut builder = ImageBuilder::new();
    builder.add_file(path, std::fs::read(program)?, 0o755);
    builder.config().entrypoint = vec![path.clone()];
    builder.build().write_docker_archive(archive, &[image])?;
    println!("packed {image} into {archive}");
    Ok(())
}
