//! The page as a whole.

use super::{render, samples};
use crate::bench::result::{Load, Results, Route};

#[test]
#[ignore = "writes pages to look at"]
fn pages_to_look_at() {
    for (name, results) in [("typical", samples::typical()), ("sweep", samples::sweep())] {
        std::fs::write(std::env::temp_dir().join(format!("{name}.html")), render(&results)).expect("the folder is writable");
    }
}
