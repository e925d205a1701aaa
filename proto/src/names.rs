//! "Did you mean".

/// The name of `known` that `name` was probably meant to be: at most a third of it is different.
///
/// ```
/// use plugin_proto::names::nearest;
///
/// assert_eq!(nearest("getusr", ["GetTeam", "GetUser"]), Some("GetUser"));
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let characters = name.chars().count();
    // At least as many changes are needed as there are characters too many. A text of many KiB is
    // not worth the time to compare it.
    let may_be = |known: &&str| {
        let missing = characters.abs_diff(known.to_lowercase().chars().count());
        missing * 3 <= name.len().max(known.len())
    };
    known
        .into_iter()
        .filter(may_be)
        .map(|known| (strsim::damerau_levenshtein(&name, &known.to_lowercase()), known))
        .filter(|(distance, known)| distance * 3 <= name.len().max(known.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `; did you mean GetUser?`, or nothing.
///
/// ```
/// use plugin_proto::names::suggestion;
///
/// assert_eq!(suggestion("wiat", ["wait", "exit"]), "; did you mean wait?");
/// assert_eq!(suggestion("sleep", ["wait", "exit"]), "");
/// ```
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(nearest("getuser", ["GetUser", "GetUsers"]), Some("GetUser"));
        assert_eq!(nearest("GetUsr", ["GetTeam", "GetUser"]), Some("GetUser"));
        assert_eq!(nearest("sleep", ["serve", "wait"]), None);
        assert_eq!(suggestion("wiat", ["wait"]), "; did you mean wait?");
    }
}
