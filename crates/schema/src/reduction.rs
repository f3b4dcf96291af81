//! What of a schema judges payloads, and nothing else.
//!
//! A schema is walked once, from keyword to keyword as its draft places schemas. What may not be in it
//! is found on the way, and annotations, identifiers and definitions stay behind. So the library sees
//! only keywords that are checked here, and two schemas that judge alike are equal as values, whatever
//! their descriptions say.

use flotilla_types::limits::SCHEMA_UNEVALUATED_DEPTH_MAX;
use serde_json::{Map, Value};

use crate::SchemaError;
use crate::draft::Draft;
use crate::keywords::Keyword;
use crate::patterns::Patterns;
use crate::pointer::join;

/// Reduces a whole schema. What is not shaped like a schema is kept as it is, for the meta-schema to
/// refuse.
pub(crate) fn reduce(schema: &Value, draft: Draft) -> Result<Value, SchemaError> {
    let mut reduction = Reduction {
        draft,
        patterns: Patterns::default(),
        unevaluated_depth: 0,
    };
    reduction.schema(schema, "")
}

struct Reduction {
    draft: Draft,
    patterns: Patterns,
    unevaluated_depth: usize,
}

impl Reduction {
    fn schema(&mut self, schema: &Value, at: &str) -> Result<Value, SchemaError> {
        let Value::Object(keywords) = schema else {
            return Ok(schema.clone());
        };
        self.check_dialect(schema, at)?;
        let unevaluated = ["unevaluatedItems", "unevaluatedProperties"];
        let asks_again = self.draft > Draft::Draft7
            && unevaluated.iter().any(|name| keywords.contains_key(*name));
        self.unevaluated_depth += usize::from(asks_again);
        if self.unevaluated_depth > SCHEMA_UNEVALUATED_DEPTH_MAX {
            let pointer = at.to_owned();
            return Err(SchemaError::TooManyUnevaluated { pointer });
        }
        let mut reduced = Map::new();
        for (name, value) in keywords {
            if let Some(value) = self.keyword(name, value, &join(at, name))? {
                reduced.insert(name.clone(), value);
            }
        }
        self.unevaluated_depth -= usize::from(asks_again);
        Ok(Value::Object(reduced))
    }

    fn check_dialect(&self, schema: &Value, at: &str) -> Result<(), SchemaError> {
        let unknown = |keyword: &str, found: String| SchemaError::UnknownDraft {
            pointer: join(at, keyword),
            found,
        };
        if schema.get("$vocabulary").is_some() {
            return Err(unknown("$vocabulary", "a vocabulary of its own".to_owned()));
        }
        let Some(named) = schema.get("$schema") else {
            return Ok(());
        };
        match Draft::of(schema) {
            Ok(draft) if draft == self.draft => Ok(()),
            _ => Err(unknown(
                "$schema",
                format!("{named} inside a schema of another draft"),
            )),
        }
    }

    /// The reduced value of a keyword, if it judges anything.
    fn keyword(
        &mut self,
        name: &str,
        value: &Value,
        at: &str,
    ) -> Result<Option<Value>, SchemaError> {
        match Keyword::of(name, self.draft) {
            Keyword::Annotation | Keyword::Dialect => Ok(None),
            Keyword::Assertion => Ok(Some(value.clone())),
            Keyword::Reference => Err(SchemaError::Reference {
                pointer: at.to_owned(),
                keyword: name.to_owned(),
            }),
            Keyword::Pattern => {
                if let Value::String(pattern) = value {
                    self.patterns.admit(pattern, at)?;
                }
                Ok(Some(value.clone()))
            }
            Keyword::Schema => self.schema(value, at).map(Some),
            Keyword::UnusedSchema => self.schema(value, at).map(|_| None),
            Keyword::Schemas | Keyword::SchemaOrSchemas => self.schemas(value, at).map(Some),
            Keyword::SchemaMap | Keyword::Dependencies => self.schema_map(value, at).map(Some),
            Keyword::UnusedSchemaMap => self.schema_map(value, at).map(|_| None),
            Keyword::PatternMap => {
                if let Value::Object(schemas) = value {
                    for pattern in schemas.keys() {
                        self.patterns.admit(pattern, &join(at, pattern))?;
                    }
                }
                self.schema_map(value, at).map(Some)
            }
        }
    }

    fn schemas(&mut self, value: &Value, at: &str) -> Result<Value, SchemaError> {
        let Value::Array(schemas) = value else {
            return self.schema(value, at);
        };
        let reduced = schemas.iter().enumerate();
        reduced
            .map(|(index, schema)| self.schema(schema, &join(at, index)))
            .collect()
    }

    fn schema_map(&mut self, value: &Value, at: &str) -> Result<Value, SchemaError> {
        let Value::Object(schemas) = value else {
            return Ok(value.clone());
        };
        let mut reduced = Map::new();
        for (name, schema) in schemas {
            reduced.insert(name.clone(), self.schema(schema, &join(at, name))?);
        }
        Ok(Value::Object(reduced))
    }
}
