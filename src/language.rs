//! The two languages that pages for people are written in.
//!
//! A text stands beside its translation where it is used, so that neither can be forgotten.

/// A language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Bahasa Indonesia.
    Indonesian,
}

impl Language {
    /// Its tag, as in HTML and HTTP.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        self.say("en", "id")
    }

    /// The language of a tag.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            // The second is what old systems call it.
            "id" | "in" => Some(Self::Indonesian),
            _ => None,
        }
    }

    /// What a browser's `Accept-Language` (RFC 9110, 12.5.4) wants most of the two.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let mut best = (Self::default(), 0.0);
        for range in header.split(',').take(32) {
            let mut parts = range.split(';').map(str::trim);
            let Some(language) = parts.next().and_then(Self::of_tag) else { continue };
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            if quality > best.1 {
                best = (language, quality);
            }
        }
        best.0
    }

    /// The text in this language.
    #[must_use]
    pub const fn say<'t>(self, english: &'t str, indonesian: &'t str) -> &'t str {
        match self {
            Self::English => english,
            Self::Indonesian => indonesian,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", Language::English)]
    #[case("id", Language::Indonesian)]
    #[case("id-ID,id;q=0.9,en-US;q=0.8,en;q=0.7", Language::Indonesian)]
    #[case("en-GB,en;q=0.9,id;q=0.8", Language::English)]
    #[case("de, id;q=0.3, en;q=0.2", Language::Indonesian)]
    #[case("id;q=0, en;q=0.1", Language::English)]
    #[case("fr", Language::English)]
    #[case("in", Language::Indonesian)]
    fn the_best_of_both_is_chosen(#[case] header: &str, #[case] language: Language) {
        assert_eq!(Language::accepted(header), language);
    }
}
