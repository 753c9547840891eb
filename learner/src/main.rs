//! The learner's program.
fn main() {
    println!("{}", tch::Cuda::is_available());
}
