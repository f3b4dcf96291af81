//! Who is on whose side of a network partition.

/// The sides of a network partition, each with its ends. An end may be on several.
pub(crate) struct Sides<'a>(pub(crate) &'a [&'a [&'a str]]);

impl<'a> Sides<'a> {
    pub(crate) fn ends(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().copied().flatten().copied()
    }

    /// Whether two ends are kept apart: both are on some side, and on none together.
    pub(crate) fn part(&self, one: &str, other: &str) -> bool {
        let has = |side: &[&str], end| side.contains(&end);
        let is_placed = |end| self.0.iter().any(|side| has(side, end));
        let are_together = self.0.iter().any(|side| has(side, one) && has(side, other));
        is_placed(one) && is_placed(other) && !are_together
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_different_sides_are_parted() {
        let sides = Sides(&[&["a"], &["b", "c"]]);
        assert!(sides.part("a", "b") && sides.part("c", "a"));
        assert!(!sides.part("b", "c"));
        assert!(
            !sides.part("a", "client"),
            "who is on no side sees everybody"
        );
    }

    #[test]
    fn an_end_on_two_sides_sees_both() {
        let sides = Sides(&[&["a", "b"], &["b", "c"]]);
        assert!(!sides.part("a", "b") && !sides.part("b", "c"));
        assert!(sides.part("a", "c"));
    }
}
