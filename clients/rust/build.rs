fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo::rerun-if-changed={root}");
    // protox is a protoc in Rust: nobody has to install one.
    let files = protox::compile(["parsl_collector/v1/collector_service.proto"], [root])?;
    tonic_prost_build::configure()
        .btree_map(".") // the same bytes for the same message
        .generate_default_stubs(true) // the server is the tests', which have no use for most of it
        .compile_fds(files)?;
    Ok(())
}
