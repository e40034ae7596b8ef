//! The running programs of a world: how they start, die, and tell the time.

use marketplace_fulfillment::app::App;
use marketplace_fulfillment::clock::Clock;
use time::Duration;

use super::stage::Stage;
use super::task::Task;

/// One running program, with what it has learnt since its start and a clock of its own.
pub(super) struct Instance {
    pub(super) number: usize,
    pub(super) app: App,
    pub(super) clock: Clock,
}

impl Stage {
    pub(super) fn start_instance(&mut self) {
        let skew = Duration::seconds(self.rng.i64(-self.weather.skew..=self.weather.skew));
        let clock = Clock::manual(self.now() + skew);
        let (store, bell) = self.shaken.clone();
        let app = App::new(self.surroundings.settings.clone(), clock.clone(), store, bell).unwrap();
        self.started += 1;
        self.note(format!("instance {} starts, its clock off by {skew}", self.started));
        self.instances.push(Instance { number: self.started, app, clock });
    }

    /// The instance that was drawn last stands in front, where `start` finds it.
    pub(super) fn some_instance(&mut self) {
        let drawn = self.rng.usize(..self.instances.len());
        self.instances.swap(0, drawn);
    }

    /// An instance dies with everything that it was doing, and another one takes its place.
    pub(super) fn die(&mut self, number: usize) {
        self.note(format!("instance {number} dies"));
        self.instances.retain(|instance| instance.number != number);
        let tasks = std::mem::take(&mut self.tasks).into_iter();
        let (dead, alive): (Vec<Task>, _) = tasks.partition(|task| task.instance == number);
        self.tasks = alive;
        for task in dead {
            self.note(format!("died: {}", task.name));
            task.abort.abort();
        }
        self.start_instance();
    }

    /// Time passes while work is under way, or one instance's clock is set: forwards or back, as far as clocks differ.
    pub(super) fn jump(&mut self) {
        if self.rng.bool() {
            let by = Duration::seconds(self.rng.i64(1..200));
            return self.advance(by, "time jumps");
        }
        self.some_instance();
        let skew = Duration::seconds(self.rng.i64(-self.weather.skew..=self.weather.skew));
        let (number, clock) = (self.instances[0].number, self.instances[0].clock.clone());
        self.note(format!("the clock of instance {number} is set, off by {skew}"));
        let Clock::Manual(manual) = &clock else { unreachable!("worlds run on manual clocks") };
        manual.advance(self.now() + skew - clock.now());
    }
}
