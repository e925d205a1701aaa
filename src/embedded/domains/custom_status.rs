//! The text and emoji beside a user's name: a property of the user, as JSON.

use plugin_proto::v1;
use serde::{Deserialize, Serialize};

const PROPERTY: &str = "customStatus";
const MAX_TEXT_CHARACTERS: usize = 100;

/// As it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stored {
    pub(super) emoji: String,
    pub(super) text: String,
    pub(super) duration: String,
    pub(super) expires_at: String,
}

impl Default for Stored {
    fn default() -> Self {
        let text = String::new;
        Self { emoji: text(), text: text(), duration: text(), expires_at: rfc3339(ZERO_TIME) }
    }
}

/// Go's time that is not set, in milliseconds since 1970: the first moment of the year 1.
const ZERO_TIME: i64 = -62_135_596_800_000;

impl Stored {
    /// The status as it is sent.
    pub(super) fn of(it: &v1::CustomStatus) -> Self {
        Self {
            emoji: it.emoji.clone(),
            text: it.text.clone(),
            duration: it.duration.clone(),
            expires_at: rfc3339(it.expires_at),
        }
    }

    /// With the text cut, and a duration for an expiry that is still to come.
    pub(super) fn filled(mut self, now: i64) -> Self {
        self.text = self.text.chars().take(MAX_TEXT_CHARACTERS).collect();
        let to_come = milliseconds(&self.expires_at).is_some_and(|at| at >= now);
        if self.duration.is_empty() && to_come {
            "date_and_time".clone_into(&mut self.duration);
        }
        self
    }

    /// The JSON that is stored.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether the user's custom status can be read, if there is one.
pub(super) fn is_valid(user: &v1::User) -> bool {
    let text = user.props.get(PROPERTY).map(String::as_str).unwrap_or_default();
    text.is_empty()
        || serde_json::from_str::<Option<Stored>>(text)
            .is_ok_and(|status| status.is_none_or(|it| milliseconds(&it.expires_at).is_some()))
}

/// Brings the user's custom status into its stored form.
pub(super) fn fill(user: &mut v1::User, now: i64) {
    let Some(text) = user.props.get_mut(PROPERTY) else { return };
    if let Ok(status) = serde_json::from_str::<Stored>(text) {
        *text = status.filled(now).to_json();
    }
}

/// Sets the user's custom status; nothing for none.
pub(super) fn set(user: &mut v1::User, status: Option<&Stored>) {
    user.props.insert(PROPERTY.to_owned(), status.map(Stored::to_json).unwrap_or_default());
}

/// A time in milliseconds since 1970 as RFC 3339 has it, in UTC.
pub(super) fn rfc3339(milliseconds: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(milliseconds);
    // Beyond the years that have four digits.
    let furthest = if milliseconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    time.unwrap_or(furthest).to_string()
}

/// What [`rfc3339`] and clients write, in milliseconds since 1970.
fn milliseconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_alike() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_000, "2000-02-28T23:59:59Z"),
            (951_782_400_500, "2000-02-29T00:00:00.5Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (ZERO_TIME, "0001-01-01T00:00:00Z"),
        ];
        for (time, text) in cases {
            assert_eq!(rfc3339(time), text);
            assert_eq!(milliseconds(text), Some(time), "{text}");
        }
        assert_eq!(milliseconds("1970-01-01T02:00:00+02:00"), Some(0));
        for wrong in ["", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
