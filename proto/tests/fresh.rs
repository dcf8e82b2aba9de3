//! Holds the committed generated code to the `.proto` files it came from. With `DOORWARD_GENERATE=1` it writes the code instead
//! (`cargo xtask generate` runs it so); nothing needs `protoc`. Also asks the real `protoc`, where there is one, whether it agrees.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: [&str; 4] =
    ["doorward/v1/enrollment.proto", "doorward/v1/policy.proto", "doorward/v1/report.proto", "doorward/v1/uplink.proto"];
const GENERATED: &str = "doorward.v1.rs";

fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn generate(out: &Path) -> Result<String, Box<dyn Error>> {
    let descriptors = protox::compile(SOURCES, [crate_folder()])?;
    tonic_prost_build::configure()
        .bytes(".")
        // Its one text is a secret; `convert` gives it a Debug that does not tell.
        .skip_debug(["doorward.v1.EnrollRequest"])
        // `Uplink.Connect` would clash with the convenience of that name, which would connect without TLS anyway.
        .build_transport(false)
        .codec_path("crate::codec::BoundedCodec")
        .emit_rerun_if_changed(false)
        .out_dir(out)
        .compile_fds(descriptors)?;
    Ok(std::fs::read_to_string(out.join(GENERATED))?)
}

#[test]
fn the_committed_code_is_what_the_proto_files_generate() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let fresh = generate(folder.path())?;
    let committed = crate_folder().join("src/generated").join(GENERATED);
    if std::env::var_os("DOORWARD_GENERATE").is_some() {
        std::fs::write(&committed, &fresh)?;
    }
    assert!(
        std::fs::read_to_string(&committed)? == fresh,
        "{} is stale: run `cargo xtask generate` and commit what it writes",
        committed.display()
    );
    Ok(())
}

#[test]
fn every_proto_file_is_compiled() -> Result<(), Box<dyn Error>> {
    let mut present: Vec<_> = std::fs::read_dir(crate_folder().join("doorward/v1"))?
        .map(|entry| entry.map(|entry| format!("doorward/v1/{}", entry.file_name().to_string_lossy())))
        .collect::<Result<_, _>>()?;
    present.sort();
    assert_eq!(present, SOURCES);
    Ok(())
}

#[test]
fn protoc_accepts_the_contract_too() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let run = Command::new("protoc")
        .arg(format!("--proto_path={}", crate_folder().display()))
        .arg(format!("--descriptor_set_out={}", folder.path().join("set").display()))
        .args(SOURCES)
        .output();
    match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: protoc was not asked because it is not installed");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(output) => {
            assert!(output.status.success(), "protoc refuses: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        }
    }
}
