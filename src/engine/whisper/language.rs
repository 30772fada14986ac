//! Languages: the model's number for each, their probabilities in a window, and the choice of one.

use super::rules;
use super::sampling::argmax;

/// Vocabulary of the English-only models. The next larger one has 99 languages, and each further
/// token is a further language.
const ENGLISH_VOCABULARY: u32 = 51_864;

/// Least probability at which the language changes.
///
/// A window may hold a name or a sentence of another language, or too little speech to decide.
/// Writing a window in the wrong language costs more than noticing a change one window later.
const CHANGE_P_MIN: f32 = 0.8;

/// Most languages that an error suggests.
const NEAR_MAX: usize = 3;

/// Languages of large-v3, the most that any model knows.
const LANGUAGES_MAX: u32 = 100;

/// Fewest letters of a name that an error completes.
const COMPLETED_LETTERS_MIN: usize = 2;

/// Returns how many languages a model with this vocabulary knows.
pub(super) fn count(n_vocab: u32) -> u32 {
    match n_vocab.saturating_sub(ENGLISH_VOCABULARY) {
        0 => 1,
        more => 98 + more,
    }
}

/// Returns the number of a language among the first `count`, by its code ("de") or its English name
/// ("German").
pub(super) fn number(name: &str, count: u32) -> Option<u32> {
    let name = name.trim().to_lowercase();
    // Not by whisper.cpp's own search, which logs an error for each name that it does not find.
    (0..count).find(|number| [code(*number), english_name(*number)].contains(&Some(&name)))
}

fn english_name(number: u32) -> Option<&'static str> {
    whisper_rs::get_lang_str_full(i32::try_from(number).ok()?)
}

/// Returns the code of a language.
pub(super) fn code(number: u32) -> Option<&'static str> {
    whisper_rs::get_lang_str(i32::try_from(number).ok()?)
}

/// Suggests what to do about a language that a model of `count` languages does not know.
pub(super) fn hint(asked: &str, count: u32) -> String {
    if count == 1 {
        return "it knows English only, so use a model without .en".into();
    }
    let asked = asked.trim().to_lowercase();
    if number(&asked, LANGUAGES_MAX).is_some() {
        return "use a model since large-v3, which knows it".into();
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

/// Returns the number of the language in which a window is transcribed, when `before` was spoken
/// before it.
pub(super) fn choose(before: Option<u32>, probabilities: &LanguageProbabilities) -> u32 {
    let likeliest = probabilities.likeliest;
    match before {
        Some(before) if probabilities.of(likeliest) < CHANGE_P_MIN => before,
        _ => likeliest,
    }
}

/// How probable each language is in a window.
#[derive(Debug)]
pub(super) struct LanguageProbabilities {
    probabilities: [f32; LANGUAGES_MAX as usize],
    /// The number of the most probable language.
    likeliest: u32,
}

impl LanguageProbabilities {
    /// Computes them from the logits of the language tokens, in their order.
    pub(super) fn of_logits(logits: &[f32]) -> Self {
        let total = rules::log_sum_exp(logits, rules::largest(logits));
        let mut probabilities = [0.0; LANGUAGES_MAX as usize];
        for (probability, logit) in probabilities.iter_mut().zip(logits) {
            *probability = (logit - total).exp();
        }
        Self {
            probabilities,
            likeliest: u32::try_from(argmax(logits)).unwrap_or_default(),
        }
    }

    /// Returns the probability of a language, 0 for one that the model does not know.
    pub(super) fn of(&self, language: u32) -> f32 {
        let found = self.probabilities.get(language as usize);
        found.copied().unwrap_or_default()
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
        check("yue", "use a model since large-v3");
        check("mala", "did you mean \"malay\" or \"malayalam\" or ");
        assert!(hint("de", count(51_864)).contains("English only"));
    }

    #[test]
    fn the_language_changes_when_another_is_probable() {
        let probabilities = |number: usize, p: f32| {
            let rest = ((1.0 - p) / 98.0).ln();
            let mut logits = [rest; 99];
            logits[number] = p.ln();
            LanguageProbabilities::of_logits(&logits)
        };
        for (before, p, expected) in [
            (None, 0.4, 2),
            (Some(0), 0.7, 0),
            (Some(0), 0.9, 2),
            (Some(2), 0.3, 2),
        ] {
            let chosen = choose(before, &probabilities(2, p));
            assert_eq!(chosen, expected, "{before:?}, {p}");
        }
    }

    #[test]
    fn languages_share_one_probability() {
        let mut logits = [0.0; 99];
        logits[2] = 99.0_f32.ln();
        let probabilities = LanguageProbabilities::of_logits(&logits);
        assert_eq!(probabilities.likeliest, 2);
        assert!((probabilities.of(2) - 99.0 / 197.0).abs() < 1e-5);
        assert!((probabilities.of(98) - 1.0 / 197.0).abs() < 1e-6);
        assert_eq!(probabilities.of(99), 0.0);
    }
}
