pub type Verdict = Result<String, Objection>;
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection { Broken(Fault), NotObservable(String) }
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault { pub detail: String, pub field: Option<String>, pub expected: Option<String>, pub actual: Option<String> }
impl Fault { pub fn new(detail: impl Into<String>) -> Self { Self { detail: detail.into(), ..Self::default() } } }
impl Objection { pub fn not_observable(why: impl Into<String>) -> Self { Self::NotObservable(why.into()) } }
impl From<Fault> for Objection { fn from(f: Fault) -> Self { Self::Broken(f) } }
impl From<String> for Objection { fn from(d: String) -> Self { Self::Broken(Fault::new(d)) } }
