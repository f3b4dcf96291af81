//! Lists with an end.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A list of at most `MAX` items. It is refused at the first one too many, and not when memory holds
/// all of them: a few bytes of JSON can be many in memory.
#[derive(Debug)]
pub(crate) struct AtMost<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for AtMost<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_seq(Items::<T, MAX>(PhantomData))
    }
}

struct Items<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
    type Value = AtMost<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = input.next_element()? {
            if items.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            items.push(item);
        }
        Ok(AtMost(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_item_too_many_is_the_last_one_read() {
        let read = |text| serde_json::from_str::<AtMost<u8, 2>>(text);
        assert_eq!(read("[1,2]").unwrap().0, [1, 2]);
        // What follows is no JSON, and nobody gets that far.
        let error = read("[1,2,3,?").unwrap_err().to_string();
        assert!(
            error.starts_with("invalid length 3, expected an array of at most 2 items"),
            "{error}"
        );
    }
}
