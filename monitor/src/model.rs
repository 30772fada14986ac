//! Models in memory, by a component's own account. They are claims: the measured bytes of the
//! component stand beside them.

use serde::Serialize;

/// Most models of one component.
pub const MODELS_MAX: usize = 32;

/// Longest name that is kept, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// A model that a component has loaded.
///
/// # Examples
///
/// ```
/// use steadyscribe_monitor::model::Model;
///
/// let model = Model::new("base.en").ram_bytes(148 << 20).busy(true);
/// assert_eq!(model.ram_bytes, Some(148 << 20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Model {
    /// Its name. It is shown and exported, so it should not be a path.
    pub name: String,
    /// Bytes in main memory. `None`: not known.
    pub ram_bytes: Option<u64>,
    /// Bytes on a GPU. `None`: not known.
    pub gpu_bytes: Option<u64>,
    /// Context in tokens. `None`: not known, or it has none.
    pub context_tokens: Option<u64>,
    /// Whether it works right now. `None`: not known.
    pub busy: Option<bool>,
    /// Time of its unload if it is not used until then, in milliseconds since 1970. `None`: not
    /// known, or never.
    pub unload_unix_ms: Option<u64>,
}

impl Model {
    /// Names a model of which nothing else is known. A name longer than [`NAME_CHARS_MAX`] is cut.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.chars().take(NAME_CHARS_MAX).collect(),
            ram_bytes: None,
            gpu_bytes: None,
            context_tokens: None,
            busy: None,
            unload_unix_ms: None,
        }
    }

    /// Sets the bytes in main memory.
    #[must_use]
    pub fn ram_bytes(mut self, bytes: u64) -> Self {
        self.ram_bytes = Some(bytes);
        self
    }

    /// Sets the bytes on a GPU.
    #[must_use]
    pub fn gpu_bytes(mut self, bytes: u64) -> Self {
        self.gpu_bytes = Some(bytes);
        self
    }

    /// Sets the context.
    #[must_use]
    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.context_tokens = Some(tokens);
        self
    }

    /// Sets whether it works right now.
    #[must_use]
    pub fn busy(mut self, busy: bool) -> Self {
        self.busy = Some(busy);
        self
    }

    /// Sets the time of its unload if it is not used until then.
    #[must_use]
    pub fn unload_unix_ms(mut self, unix_ms: u64) -> Self {
        self.unload_unix_ms = Some(unix_ms);
        self
    }
}
