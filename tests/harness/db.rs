//! On which database a test runs, and how one test becomes two.

use super::postgres::Database;

/// Where a host keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Db {
    /// A file in the host's directory.
    Sqlite,
    /// A database of the test's own, which several hosts may share.
    Postgres,
}

impl Db {
    /// The database to be created, where there has to be one.
    pub(crate) async fn prepare(self) -> Option<Database> {
        match self {
            Db::Sqlite => None,
            Db::Postgres => Some(super::postgres::fresh_database().await),
        }
    }
}

/// Makes two tests of each function that is named and takes a [`Db`]: `sqlite::name` and `postgres::name`. An attribute is for
/// the one on PostgreSQL: why it is ignored as yet.
macro_rules! both_databases {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::harness::Db::Sqlite).await;
            })*
        }

        $crate::harness::on_postgres! { $($(#[$attribute])* $name),* }
    };
}

/// Makes a test of each function that is named and takes a [`Db`]: on PostgreSQL alone.
macro_rules! on_postgres {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test]
            $(#[$attribute])*
            async fn $name() {
                super::$name($crate::harness::Db::Postgres).await;
            })*
        }
    };
}

pub(crate) use {both_databases, on_postgres};
