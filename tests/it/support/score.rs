//! Words and errors, as the reference counts them.

/// Words of letters, digits and apostrophes in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Words that must be put in, left out or changed to make one text of the other.
pub(crate) fn edits(said: &[String], written: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=written.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in written.iter().enumerate() {
            let change = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[written.len()]
}
