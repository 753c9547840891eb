//! Lets the benchmarks find libtorch where the learner found it.

fn main() {
    if let Ok(link_arg) = std::env::var("DEP_TRIBUTARY_LEARNER_LINK_ARG") {
        println!("cargo::rustc-link-arg={link_arg}");
    }
}
