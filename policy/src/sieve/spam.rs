//! The spam score that verdict filters and scripts add up (specification B5).

/// Score and text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spam {
    /// Whether anything has tested the message.
    pub tested: bool,
    /// The sum; never clamped.
    pub score: f64,
    /// Texts of those who added to it.
    pub text: String,
}

impl Spam {
    /// Adds what `spamadjust` was given; `false` where it begins with no number.
    pub fn adjust(&mut self, by: &str) -> bool {
        let Some(number) = leading_number(by) else {
            return false;
        };
        self.tested = true;
        self.score += number;
        // Bounded, since a script could go on for ever.
        if self.text.len() + by.len() < 4096 {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.push_str(by);
        }
        true
    }

    /// What `spamtest` compares.
    pub fn value(&self, percent: bool) -> String {
        if !self.tested {
            return "0".to_owned();
        }
        let (score, most) = if percent {
            (self.score * 10.0, 100.0)
        } else {
            (self.score, 10.0)
        };
        let number = score.round().clamp(0.0, most) as i64;
        if self.text.is_empty() {
            number.to_string()
        } else {
            format!("{number} {}", self.text)
        }
    }
}

/// The real number at the start of a text.
pub(super) fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end = text
        .char_indices()
        .find(|(i, c)| !(c.is_ascii_digit() || *c == '.' || (*i == 0 && matches!(c, '+' | '-'))))
        .map_or(text.len(), |(i, _)| i);
    text.get(..end)?.parse::<f64>().ok().filter(|n| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_and_clamps() {
        let mut spam = Spam::default();
        assert_eq!(spam.value(false), "0");
        assert!(spam.adjust("+2.6 first") && spam.adjust("+5"));
        assert_eq!(spam.value(false), "8 +2.6 first +5");
        assert!(spam.adjust("-20"));
        assert!(spam.value(false).starts_with("0 "));
        assert!(!spam.adjust("much"));
    }
}
