//! What a store consists of, table by table, in words that both databases understand.

use crate::domain::shard::Shard;

/// A value of a row, alike in both databases: yes and no are 1 and 0.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

pub(in crate::store) type Row = Vec<Value>;

impl Value {
    fn text(&self) -> &str {
        if let Value::Text(text) = self { text } else { "" }
    }

    /// What it takes in memory, roughly.
    pub(in crate::store) fn bytes(&self) -> usize {
        match self {
            Value::Null | Value::Int(_) => 8,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        }
    }
}

/// What a column of PostgreSQL takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Int2,
    Int4,
    Int8,
    Bool,
    Text,
    Bytes,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) kind: Kind,
    /// It may be absent.
    optional: bool,
}

impl Column {
    /// Why PostgreSQL cannot hold it.
    fn misfit(&self, value: &Value) -> Option<&'static str> {
        match (self.kind, value) {
            (_, Value::Null) if self.optional => None,
            (_, Value::Null) => Some("is missing"),
            (Kind::Text, Value::Text(text)) => text.contains('\0').then_some("holds a NUL character"),
            (Kind::Bytes, Value::Bytes(_)) | (Kind::Int8, Value::Int(_)) => None,
            (Kind::Bool, Value::Int(0 | 1)) => None,
            (Kind::Int2, Value::Int(number)) => i16::try_from(*number).err().map(|_| "is too large a number"),
            (Kind::Int4, Value::Int(number)) => i32::try_from(*number).err().map(|_| "is too large a number"),
            _ => Some("is of another kind than it should be"),
        }
    }
}

/// A table that is moved.
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    /// `name type`, with `?` behind the type where it may be absent.
    columns: &'static str,
    /// What no two rows have alike: the order in which rows are moved and compared.
    pub(in crate::store) key: &'static [&'static str],
    /// Where SQLite has the rows, if not in a table of that name alone.
    from: Option<&'static str>,
    /// What SQLite has in place of a column.
    instead: &'static [(&'static str, &'static str)],
    /// Fills in what no expression of SQLite can say.
    shard: Option<fn(&Table, &Row) -> Shard>,
}

const fn table(name: &'static str, key: &'static [&'static str], columns: &'static str) -> Table {
    Table { name, columns, key, from: None, instead: &[], shard: None }
}

/// In the order in which they are moved.
pub(in crate::store) const TABLES: [Table; 23] = [
    // PostgreSQL keeps a part for each host, which are added up.
    Table {
        instead: &[("part", "0")],
        ..table("counters", &["tenant", "name"], "tenant text, name text, part int8, value int8")
    },
    table(
        "events",
        &["seq"],
        "seq int8, id bytea, tenant text, source text, source_id text, type text, subject text?, time int8, received int8, \
         customer text?, data text, attributes text?, cause bytea?, notes text?, runs bytea",
    ),
    table("event_keys", &["id"], "id bytea, seq int8"),
    table("old_event_keys", &["seq"], "seq int8, id bytea, received int8"),
    Table {
        instead: &[("shard", "NULL")],
        shard: Some(|table, row| {
            let of = |name| table.value(row, name).text();
            Shard::of_entity_named(of("tenant"), of("plugin"), of("entity"))
        }),
        ..table(
            "runs",
            &["seq"],
            "seq int8, id bytea, tenant text, plugin text, entity text, customer text?, kind int2, event int8?, payload text?, \
             hold_up bool, state int2, attempts int4, not_before int8, accepted int8, shard int2",
        )
    },
    table("run_results", &["seq"], "seq int8, at int8, failure text?, report text?, effects text?"),
    table("entities", &["tenant", "plugin", "entity"], "tenant text, plugin text, entity text, version int8"),
    table(
        "state",
        &["tenant", "plugin", "entity", "key"],
        "tenant text, plugin text, entity text, key text, value bytea, customer text?, expires int8?",
    ),
    table(
        "timers",
        &["tenant", "plugin", "entity", "key"],
        "tenant text, plugin text, entity text, key text, due int8, expires int8?, customer text?, data text, set_by text, \
         set_by_run bytea, origin bytea?, generation int8, queued bool",
    ),
    table("messages", &["seq"], "seq int8, id bytea, tenant text, customer text?, lane text, created int8, body text"),
    // SQLite has the tenant of those only that are under way, and knows nothing of shards.
    Table {
        from: Some("message_states LEFT JOIN messages m USING (seq)"),
        instead: &[("tenant", "m.tenant"), ("shard", "m.lane")],
        shard: Some(|table, row| {
            Shard::of_lane_named(table.value(row, "tenant").text(), table.value(row, "shard").text())
        }),
        ..table(
            "message_states",
            &["seq"],
            "seq int8, tenant text, shard int2, revision int8, state text, settled bool, cancel bool, ended text?, code text?, \
             decision text?, step int2, due int8?",
        )
    },
    table(
        "attempts",
        &["message", "no"],
        "message int8, no int4, channel text, provider text, account text, address text, state text, provider_id text?, \
         rendition text, parts int4, price_micros int8?, planned int8, answered int8?, failure text?, decision text",
    ),
    table(
        "attempt_parts",
        &["provider", "provider_id", "message", "no"],
        "provider text, provider_id text, message int8, no int4",
    ),
    table(
        "receipts",
        &["message", "attempt", "state", "code"],
        "message int8, attempt int4, state text, code text, time int8, received int8, failure text?, pricing text?",
    ),
    table(
        "parked_receipts",
        &["id"],
        "id int8, tenant text, provider text, token text, provider_id text, state text, code text, time int8, received int8, \
         failure text?, pricing text?",
    ),
    table(
        "dedup_keys",
        &["tenant", "lane", "plugin", "key"],
        "tenant text, lane text, plugin text, key text, message bytea",
    ),
    table(
        "incoming",
        &["seq"],
        "seq int8, id bytea, tenant text, customer text?, channel text, sender text, time int8, body text",
    ),
    table(
        "customers",
        &["tenant", "id"],
        "tenant text, id text, name text?, locale text?, timezone text?, attributes text, created int8, updated int8",
    ),
    table(
        "addresses",
        &["tenant", "channel", "address"],
        "tenant text, channel text, address text, customer text, position int4, last_incoming int8?, unusable_until int8?",
    ),
    table(
        "consents",
        &["tenant", "customer", "channel", "scope"],
        "tenant text, customer text, channel text, scope text, granted bool, source text, at int8",
    ),
    table(
        "suppressed",
        &["tenant", "channel", "hash", "scope"],
        "tenant text, channel text, hash bytea, scope text, source text, at int8",
    ),
    table("plugin_records", &["name"], "name text, body text"),
    table("plugin_use", &["tenant", "name", "plugin"], "tenant text, name text, plugin text, at int8, body text"),
];

impl Table {
    pub(in crate::store) fn columns(&self) -> Vec<Column> {
        let column = |text: &'static str| {
            let (name, kind) = text.trim().split_once(' ').unwrap_or((text, ""));
            let optional = kind.ends_with('?');
            let kind = match kind.trim_end_matches('?') {
                "int2" => Kind::Int2,
                "int4" => Kind::Int4,
                "int8" => Kind::Int8,
                "bool" => Kind::Bool,
                "bytea" => Kind::Bytes,
                _ => Kind::Text,
            };
            Column { name, kind, optional }
        };
        self.columns.split(',').map(column).collect()
    }

    /// What SQLite is asked for: columns, and where they are.
    pub(in crate::store) fn in_sqlite(&self) -> (String, &'static str) {
        let instead = |name: &str| self.instead.iter().find(|(of, _)| *of == name).map(|(_, expression)| *expression);
        let columns: Vec<&str> =
            self.columns().iter().map(|column| instead(column.name).unwrap_or(column.name)).collect();
        (columns.join(", "), self.from.unwrap_or(self.name))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }

    fn value<'r>(&self, row: &'r Row, name: &str) -> &'r Value {
        self.place(name).and_then(|place| row.get(place)).unwrap_or(&Value::Null)
    }

    /// The row as PostgreSQL has it, from the row as SQLite has it.
    pub(in crate::store) fn fill(&self, row: &mut Row) {
        let Some(shard) = self.shard else { return };
        let shard = i64::from(shard(self, row).0);
        if let Some(place) = self.place("shard").and_then(|place| row.get_mut(place)) {
            *place = Value::Int(shard);
        }
    }

    /// The columns of the key.
    pub(in crate::store) fn key_columns(&self) -> Vec<Column> {
        let columns = self.columns();
        self.key.iter().filter_map(|name| columns.iter().find(|column| column.name == *name).copied()).collect()
    }

    /// Which row it is, for people.
    fn describe(&self, row: &Row) -> String {
        let parts = self.key.iter().map(|name| match self.value(row, name) {
            Value::Null => format!("{name} missing"),
            Value::Int(number) => format!("{name} {number}"),
            Value::Text(text) => format!("{name} {text:?}"),
            Value::Bytes(bytes) => format!("{name} {}", hex(bytes)),
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// What of a row PostgreSQL cannot hold.
    pub(in crate::store) fn misfits(&self, columns: &[Column], row: &Row) -> Vec<String> {
        let misfit = |(column, value): (&Column, &Value)| {
            let why = column.misfit(value)?;
            Some(format!("{} ({}): `{}` {why}", self.name, self.describe(row), column.name))
        };
        columns.iter().zip(row).filter_map(misfit).collect()
    }
}

pub(in crate::store) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many rows there are, and what all of them come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Sum {
    pub(in crate::store) rows: u64,
    pub(in crate::store) digest: [u8; 32],
}

/// Adds up rows in the order of their keys.
#[derive(Default)]
pub(in crate::store) struct Adder {
    hasher: blake3::Hasher,
    pub(in crate::store) rows: u64,
}

impl Adder {
    pub(in crate::store) fn add(&mut self, row: &Row) {
        self.rows += 1;
        for value in row {
            // Each value with its kind and its length, so that no two rows read alike.
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Int(number) => (1, &number.to_le_bytes()),
                Value::Text(text) => (2, text.as_bytes()),
                Value::Bytes(bytes) => (3, bytes),
            };
            self.hasher.update(&[kind]);
            self.hasher.update(&(bytes.len() as u64).to_le_bytes());
            self.hasher.update(bytes);
        }
    }

    pub(in crate::store) fn sum(&self) -> Sum {
        Sum { rows: self.rows, digest: *self.hasher.finalize().as_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_different_rows_come_to_the_same() {
        let sum = |rows: &[Row]| {
            let mut adder = Adder::default();
            rows.iter().for_each(|row| adder.add(row));
            adder.sum()
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let one = sum(&[vec![text("ab"), text("c")]]);
        assert_eq!(one, sum(&[vec![text("ab"), text("c")]]));
        let others = [
            vec![text("a"), text("bc")],
            vec![text("ab"), Value::Bytes(b"c".to_vec())],
            vec![text("abc"), Value::Null],
        ];
        for other in others {
            assert_ne!(one.digest, sum(&[other]).digest);
        }
        assert_ne!(sum(&[vec![Value::Int(1)], vec![Value::Int(2)]]), sum(&[vec![Value::Int(2)], vec![Value::Int(1)]]));
    }

    #[test]
    fn what_postgresql_cannot_hold_is_named_with_its_row() {
        let table = TABLES.iter().find(|table| table.name == "addresses").unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        let fits = vec![text("t"), text("sms"), text("+33"), text("paul"), Value::Int(1), Value::Null, Value::Null];
        assert_eq!(table.misfits(&table.columns(), &fits), Vec::<String>::new());
        let mut row = fits;
        (row[3], row[4]) = (text("pa\0ul"), Value::Int(1 << 40));
        let found = table.misfits(&table.columns(), &row);
        let place = "addresses (tenant \"t\", channel \"sms\", address \"+33\")";
        assert_eq!(
            found,
            [
                format!("{place}: `customer` holds a NUL character"),
                format!("{place}: `position` is too large a number")
            ]
        );
        (row[3], row[4]) = (Value::Null, text("1"));
        assert_eq!(table.misfits(&table.columns(), &row).len(), 2);
    }
}
