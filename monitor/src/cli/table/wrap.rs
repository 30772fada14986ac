//! Lines of limited width.

/// Breaks text between words. `first` stands before the first line, blanks of the same width before
/// the others. A word that is longer than a line stays whole.
pub(super) fn wrap_to(first: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = " ".repeat(first.chars().count());
    let mut lines = Vec::new();
    let (mut line, mut words) = (first.to_owned(), 0);
    for word in text.split(' ') {
        if words > 0 && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            words = 0;
        }
        if words > 0 {
            line.push(' ');
        }
        line.push_str(word);
        words += 1;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_not_broken() {
        assert_eq!(wrap_to("a: ", "bb cc dddd", 8), ["a: bb cc", "   dddd"]);
        assert_eq!(wrap_to("", "abcdefghij k", 4), ["abcdefghij", "k"]);
        assert_eq!(wrap_to("", "", 4), [""]);
    }
}
