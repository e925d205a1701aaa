//! The client of an SDK, judged through a small driver program around it.
//!
//! The kit serves `PluginAPI` and starts the driver with its address in the environment. A case is
//! one line to the driver: an RPC and its request. What arrived at the server and what the driver
//! answers are the evidence; [`judge`] has the rules. One case is under way at a time for each
//! driver, so that whatever arrives at its server belongs to it; several drivers run side by side.
//! docs/check-sdk.md has the driver's side of the contract.

mod case;
mod driver;
mod fields;
mod offered;
mod protocol;
mod relay;
mod rules;
mod session;
mod stage;
mod subject;
mod values;

pub use case::{Case, CaseKind};
pub use driver::DriverFault;
pub use fields::{Difference, Fate, crossings, differences};
pub use offered::Offered;
pub use protocol::{NotOffered, Said, SdkError};
pub use rules::judge;
pub use session::{
    CONTRACT_VARIABLE, CaseEvidence, DriverError, DriverOptions, Outcome, RpcEvidence, Session,
};
pub use stage::{Arrival, StageError};
pub use subject::Sdk;
