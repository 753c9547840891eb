//! Lets this crate's programs find libtorch without `LD_LIBRARY_PATH`, where the learner found it.

fn main() {
    if let Ok(lib) = std::env::var("DEP_TRIBUTARY_LEARNER_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
