//! The compiled policy: mapping tables, rewrite rules, channels' names. Immutable; shared by all machines.

use std::collections::HashMap;

use grammar::Diagnostic;
use grammar::mapping::MappingFile;

use crate::mapping;
use crate::rewrite;

/// Index of a mapping table in a [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableId(pub u32);

/// All compiled policy of a site.
#[derive(Debug, Default)]
pub struct Program {
    pub(crate) tables: Vec<mapping::Table>,
    pub(crate) names: HashMap<String, TableId>,
    /// The rewrite rules.
    pub rules: rewrite::Rules,
}

impl Program {
    /// A program of mapping tables alone.
    pub fn from_mappings(file: &MappingFile, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let (tables, names) = mapping::compile(file, diagnostics);
        Program {
            tables,
            names,
            ..Program::default()
        }
    }

    /// A table by name, without regard to case.
    pub fn table(&self, name: &str) -> Option<TableId> {
        // the names that the server probes are upper case, as files write them
        self.names
            .get(name)
            .or_else(|| self.names.get(&name.to_ascii_uppercase()))
            .copied()
    }

    /// The tables, in the order of the file.
    pub fn tables(&self) -> &[mapping::Table] {
        &self.tables
    }
}
