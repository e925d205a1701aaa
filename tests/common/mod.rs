//! What the integration tests share.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::sync::OnceLock;

/// The compiled fake interpreter, built once.
pub(crate) fn fake_python() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let build = escargot::CargoBuild::new()
            .package("fake-interpreters")
            .bin("fake-python")
            .current_target()
            .current_release();
        build.run().expect("fake-python builds").path().to_owned()
    };
    BUILT.get_or_init(build).clone()
}
