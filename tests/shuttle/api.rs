//! The real recorder.

#[path = "../../src/api/recording.rs"]
mod recording;

mod call {
    pub(crate) use plugin_conformance::api::ApiCall;
}

pub(crate) use recording::{Recorder, RecordingLayer};
