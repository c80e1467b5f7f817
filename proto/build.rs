//! Compiles the .proto file without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=insitu/v1/federation.proto");
    let descriptors = protox::compile(["insitu/v1/federation.proto"], ["."])?;
    tonic_prost_build::configure().bytes(".insitu.v1").compile_fds(descriptors)?;
    Ok(())
}
