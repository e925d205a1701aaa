//! Who can be judged, apart from the kit.

pub mod sdk;
