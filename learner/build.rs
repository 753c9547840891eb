//! Lets every program that links the learner find libtorch without `LD_LIBRARY_PATH`.
//!
//! `torch-sys` tells its direct dependents where libtorch is (`DEP_TCH_LIBTORCH_LIB`); this script
//! turns it into an rpath for the learner's own binaries and tests, and passes it on to a user's
//! crate as `DEP_TRIBUTARY_LEARNER_LIBTORCH_LIB`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo::metadata=libtorch_lib={lib}");
    }
}
