//! `opengpu __pack-image`: how the build makes the demo's image, without a container engine.

use std::collections::BTreeMap;

use opengpu_node::image::{PackedImage, pack_binary};

use crate::args::PackImage;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::print_line;

/// Packs one static program as `/bin/<its name>` and prints the image's digest.
pub(crate) fn pack_image(args: &PackImage) -> Outcome {
    let name = args.binary.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Failure::usage(format_args!("{} is not a file", args.binary.display())).hint("--binary takes a static program")
    })?;
    let image = PackedImage {
        binary: args.binary.clone(),
        entrypoint: vec![format!("/bin/{name}")],
        files: BTreeMap::new(),
        links: BTreeMap::new(),
        env: Vec::new(),
    };
    let digest = pack_binary(&image, &args.out).or_fail("cannot pack the image")?;
    print_line(digest.as_str())
}
