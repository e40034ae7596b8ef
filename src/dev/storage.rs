//! Where a `dev` keeps its records and queues: in this process, or in a storage account.

use crate::bell::Bell;
use crate::bell::azure::Queues;
use crate::bell::memory;
use crate::clock::Clock;
use crate::dev::host::Account;
use crate::outbound;
use crate::settings::StorageSettings;
use crate::storage;
use crate::store::Store;
use crate::store::azure::Tables;
use crate::store::memory::Memory;

/// One storage, as each of its users sees it.
pub(super) struct Storage {
    pub(super) store: Store,
    pub(super) bell: Bell,
    /// For the host stand-in.
    pub(super) account: Account,
}

impl Storage {
    /// Storage in this process.
    pub(super) fn memory(clock: Clock) -> Self {
        let queues = memory::Queues::new(clock);
        let bell = Bell::Memory(queues.clone());
        Self { store: Store::Memory(Memory::default()), bell, account: Account::Memory(queues) }
    }

    /// A storage account, with its tables and queues made where they are missing.
    pub(super) async fn azure(settings: &StorageSettings, clock: Clock) -> Result<Self, String> {
        let account = storage::Account::new(settings, outbound::client(), clock).map_err(|fault| fault.private)?;
        let (tables, queues) = (Tables::new(&account), Queues::new(&account));
        tables.create().await.map_err(|error| error.to_string())?;
        queues.create().await.map_err(|fault| fault.private)?;
        Ok(Self { store: Store::Azure(tables), bell: Bell::Azure(queues.clone()), account: Account::Azure(queues) })
    }
}
