//! The parts of the app, to which every byte is attributed.

use serde::{Deserialize, Serialize};

/// A part of the app that holds memory.
///
/// `Monitor` and `Unattributed` stand beside the four parts of the app so that the parts always add
/// up to the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Component {
    /// The LLM server and its runners.
    Ollama,
    /// The transcription pipeline, in this process or in its own.
    Audio,
    /// The web view and its shell.
    Frontend,
    /// The HTTP backend.
    Backend,
    /// This monitor.
    Monitor,
    /// The app's processes and bytes that no other component claims.
    Unattributed,
}

impl Component {
    /// Every component, in the order of display.
    pub const ALL: [Self; 6] = [
        Self::Ollama,
        Self::Audio,
        Self::Frontend,
        Self::Backend,
        Self::Monitor,
        Self::Unattributed,
    ];

    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ollama => "Ollama",
            Self::Audio => "Audio",
            Self::Frontend => "Frontend",
            Self::Backend => "Backend",
            Self::Monitor => "Monitor",
            Self::Unattributed => "Unattributed",
        }
    }

    /// Returns the component of that name, whatever the case of its letters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|c| c.name().eq_ignore_ascii_case(name))
    }

    /// Returns the position in [`Component::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_place_in_all() {
        for (at, component) in Component::ALL.into_iter().enumerate() {
            assert_eq!(component.index(), at);
            assert_eq!(
                Component::from_name(&component.name().to_lowercase()),
                Some(component)
            );
        }
    }
}
