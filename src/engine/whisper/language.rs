//! Languages: by which number the model knows one, and which one a window is taken to be of.

use super::decoder::Odds;

/// Vocabulary of the English-only models. The next larger one has 99 languages, and each token more is a language more.
const ENGLISH_VOCABULARY: u32 = 51_864;

/// From this probability on another language than before is believed.
///
/// A window may hold a name or a sentence of another language, or too little to tell: writing it in the wrong language costs more
/// than noticing a change a window later.
const CHANGE_P_MIN: f32 = 0.8;

/// Languages that an error suggests at most.
const NEAR_MAX: usize = 3;

/// Languages of large-v3, the most that any model knows.
pub(super) const LANGUAGES_MAX: u32 = 100;

/// Letters that a name needs before it is completed.
const COMPLETED_LETTERS_MIN: usize = 2;

/// How many languages a model of this vocabulary knows.
pub(super) fn count(n_vocab: u32) -> u32 {
    match n_vocab.saturating_sub(ENGLISH_VOCABULARY) {
        0 => 1,
        more => 98 + more,
    }
}

/// The number of a language that is given as a code ("de") or an English name ("German"), among the first `count`.
pub(super) fn number(name: &str, count: u32) -> Option<u32> {
    let name = name.trim().to_lowercase();
    // whisper.cpp's own search writes a line for each name that it does not find.
    (0..count).find(|number| [code(*number), english_name(*number)].contains(&Some(&name)))
}

fn english_name(number: u32) -> Option<&'static str> {
    whisper_rs::get_lang_str_full(i32::try_from(number).ok()?)
}

/// The code of a language.
pub(super) fn code(number: u32) -> Option<&'static str> {
    whisper_rs::get_lang_str(i32::try_from(number).ok()?)
}

/// Says what may have been meant by a name that is not known.
pub(super) fn hint(asked: &str, count: u32) -> String {
    if count == 1 {
        return "it knows English only, use a model without .en".into();
    }
    let asked = asked.trim().to_lowercase();
    if number(&asked, LANGUAGES_MAX).is_some() {
        return "models since large-v3 know it".into();
    }
    // A locale such as de_AT begins with the code.
    let code_of_locale = asked.split(['-', '_']).next().unwrap_or_default();
    if number(code_of_locale, count).is_some() {
        return format!("did you mean {code_of_locale:?}?");
    }
    let completes = |name: &&str| asked.len() >= COMPLETED_LETTERS_MIN && name.starts_with(&asked);
    let near: Vec<String> = (0..count)
        .filter_map(english_name)
        .filter(completes)
        .take(NEAR_MAX)
        .map(|name| format!("{name:?}"))
        .collect();
    match &near[..] {
        [] => "give a code such as \"de\", or an English name such as \"german\"".into(),
        near => format!("did you mean {}?", near.join(" or ")),
    }
}

/// The number of the language that a window is taken to be of, when `before` was spoken before it.
pub(super) fn heard(before: Option<u32>, odds: &Odds) -> u32 {
    match before {
        Some(before) if odds.probability(odds.likeliest) < CHANGE_P_MIN => before,
        _ => odds.likeliest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_known_by_code_and_by_name() {
        for (name, expected) in [
            ("en", Some(0)),
            ("de", Some(2)),
            ("German", Some(2)),
            (" DE ", Some(2)),
            ("yue", None),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(number(name, count(51_865)), expected, "{name:?}");
        }
        assert_eq!(number("english", count(51_864)), Some(0));
        assert_eq!(number("de", count(51_864)), None);
        assert_eq!(number("yue", count(51_866)), Some(99));
        assert_eq!(number("cantonese", count(51_866)), Some(99));
        assert_eq!((code(2), code(99)), (Some("de"), Some("yue")));
    }

    #[test]
    fn an_unknown_language_gets_a_hint() {
        let check = |asked, says: &str| {
            let hint = hint(asked, count(51_865));
            assert!(hint.contains(says), "{asked}: {hint}");
        };
        check("xx", "a code such as \"de\"");
        check("q", "a code such as \"de\"");
        check("ger", "did you mean \"german\"?");
        check("de-AT", "did you mean \"de\"?");
        check("pt_BR", "did you mean \"pt\"?");
        check("yue", "since large-v3");
        check("mala", "did you mean \"malay\" or \"malayalam\" or ");
        assert!(hint("de", count(51_864)).contains("English only"));
    }

    #[test]
    fn another_language_is_believed_when_it_is_sure() {
        let odds = |number: usize, p: f32| {
            let rest = ((1.0 - p) / 98.0).ln();
            let mut logits = [rest; 99];
            logits[number] = p.ln();
            Odds::of(&logits)
        };
        assert_eq!(heard(None, &odds(2, 0.4)), 2);
        assert_eq!(heard(Some(0), &odds(2, 0.7)), 0);
        assert_eq!(heard(Some(0), &odds(2, 0.9)), 2);
        assert_eq!(heard(Some(2), &odds(2, 0.3)), 2);
    }
}
