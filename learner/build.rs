//! Lets every program that links the learner find libtorch without `LD_LIBRARY_PATH`.
//!
//! `torch-sys` tells its direct dependents where libtorch is (`DEP_TCH_LIBTORCH_LIB`); this script
//! turns it into a linker argument for the learner's own binaries and tests, and passes the argument
//! on to the build script of a user's crate as `DEP_TRIBUTARY_LEARNER_LINK_ARG`.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // First where a package has it (`make dist`, images), then where `make setup` put it.
        let mut link_arg = format!("-Wl,-rpath,$ORIGIN/../lib/tributary/torch/lib,-rpath,{lib}");
        // No symbol of the CUDA library is called by name: it registers itself when it is loaded, and the
        // linker would leave it out.
        let cuda = Path::new(&lib).join("libtorch_cuda.so");
        if cuda.exists() {
            link_arg += &format!(",--no-as-needed,{},--as-needed", cuda.display());
        }
        println!("cargo::rustc-link-arg={link_arg}");
        println!("cargo::metadata=link_arg={link_arg}");
    }
}
