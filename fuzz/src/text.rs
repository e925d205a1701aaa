//! What must hold of every text that is shown to people.

/// Does this character move the cursor, change colours, break lines or reorder text?
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An error that a file's text has caused names the file first. `at` is what follows the name.
pub fn names_the_file<'a>(error: &'a str, file: &str) -> &'a str {
    match error.strip_prefix(file) {
        Some(rest) => rest,
        None => panic!("an error does not begin with the name of the file {file}: {error}"),
    }
}

/// After the file's name comes `:line:`, a line that the text has. A text that ends too early may
/// be wrong on the line after its last one.
pub fn names_a_line_of(error: &str, file: &str, text: &str) {
    let rest = names_the_file(error, file);
    let line = rest.strip_prefix(':').and_then(|rest| rest.split_once(':'));
    let line = line.and_then(|(line, _)| line.parse::<usize>().ok());
    let Some(line) = line else { panic!("an error names no line: {error}") };
    // YAML ends a line at a lone carriage return, too.
    let ends = text.bytes().filter(|byte| b"\n\r".contains(byte)).count();
    assert!((1..=ends + 2).contains(&line), "an error names the line {line} of {}", ends + 1);
}
