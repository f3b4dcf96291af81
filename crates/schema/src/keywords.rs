//! The keywords of each draft, and where they hold schemas.

use crate::draft::Draft;

/// What the value of a keyword is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    /// Plain data that a payload is judged by.
    Assertion,
    /// A regular expression.
    Pattern,
    /// One schema.
    Schema,
    /// A list of schemas.
    Schemas,
    /// One schema or a list of them.
    SchemaOrSchemas,
    /// Schemas by name.
    SchemaMap,
    /// Schemas by regular expression.
    PatternMap,
    /// By name, a schema or a list of names.
    Dependencies,
    /// One schema that judges nothing.
    UnusedSchema,
    /// Schemas by name that judge nothing, because nothing can refer to them.
    UnusedSchemaMap,
    /// A reference to another schema.
    Reference,
    /// Which dialect the schema is written in.
    Dialect,
    /// Anything else: it judges nothing, and what is inside is data.
    Annotation,
}

impl Keyword {
    /// What `name` is in a schema of `draft`. A name that the draft does not know is an annotation.
    pub(crate) fn of(name: &str, draft: Draft) -> Self {
        let since = |first: Draft, keyword: Self| {
            if draft >= first {
                keyword
            } else {
                Self::Annotation
            }
        };
        let until = |last: Draft, keyword: Self| {
            if draft <= last {
                keyword
            } else {
                Self::Annotation
            }
        };
        match name {
            "$ref" | "$dynamicRef" | "$recursiveRef" => Self::Reference,
            "$schema" | "$vocabulary" => Self::Dialect,
            "type" | "enum" | "const" | "multipleOf" | "maximum" | "exclusiveMaximum"
            | "minimum" | "exclusiveMinimum" | "maxLength" | "minLength" | "maxItems"
            | "minItems" | "uniqueItems" | "maxProperties" | "minProperties" | "required" => {
                Self::Assertion
            }
            "maxContains" | "minContains" | "dependentRequired" => {
                since(Draft::Draft201909, Self::Assertion)
            }
            "pattern" => Self::Pattern,
            "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "additionalProperties" => Self::Schema,
            "additionalItems" => until(Draft::Draft201909, Self::Schema),
            "unevaluatedItems" | "unevaluatedProperties" => since(Draft::Draft201909, Self::Schema),
            "items" if draft == Draft::Draft202012 => Self::Schema,
            "items" => Self::SchemaOrSchemas,
            "allOf" | "anyOf" | "oneOf" => Self::Schemas,
            "prefixItems" => since(Draft::Draft202012, Self::Schemas),
            "properties" => Self::SchemaMap,
            "dependentSchemas" => since(Draft::Draft201909, Self::SchemaMap),
            "patternProperties" => Self::PatternMap,
            // The later drafts only discourage it: their meta-schemas still have it.
            "dependencies" => Self::Dependencies,
            "contentSchema" => since(Draft::Draft201909, Self::UnusedSchema),
            "definitions" => Self::UnusedSchemaMap,
            "$defs" => since(Draft::Draft201909, Self::UnusedSchemaMap),
            _ => Self::Annotation,
        }
    }
}
