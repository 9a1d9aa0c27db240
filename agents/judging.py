"""Who a run is judged by on the way: training users, held-out users, and held-out items."""

from slategym.agents.constraint import signal_of
from slategym.agents.evaluation import evaluate
from slategym.agents.held_out import set_aside
from slategym.agents.policy import Policy
from slategym.agents.train_config import TrainConfig
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError

# Evaluation meets the same users with the same luck in every run, whatever its seed.
EVALUATION_SEED = 20_261_124


class Judges:
    """The batches of users that an agent in training is measured on, one episode each.

    Attributes:
        world: what training may see: some of its training users may be set aside.
        watched: fixed training users, with the candidates of training.
    """

    def __init__(self, world: World | None, config: TrainConfig) -> None:
        held = config.validation_users > 0 or config.validation_items > 0
        if held and isinstance(config.task(), ClassicVariant):
            raise UsageError(
                f"variant {config.variant!r} is a classic: it draws users and documents from a "
                "distribution, so every evaluation is on new ones; leave validation_users and "
                "validation_items at 0."
            )
        self.world = apart = world
        if config.validation_users > 0:
            assert world is not None
            self.world, apart = set_aside(world, config.validation_users)
        count = config.evaluation_users
        self.watched = config.make_env(self.world, count, "ids", held=False)
        self.others: dict[str, SlateVectorEnv] = {}
        if config.validation_users > 0:
            self.others["validation"] = config.make_env(apart, count, "ids", held=False)
        if config.validation_items > 0:
            self.others["new_items"] = config.make_env(apart, count, "ids", held=True)
        named = config.constraint
        self.signal = None if named is None else signal_of(named, self.watched)

    def point(self, agent: Policy) -> dict[str, float]:
        """Return the figures of a point of the learning curve.

        ``return``, ``length`` and ``clicks`` are those of training users. The same with
        ``validation_`` before them are those of users set aside; with ``new_items_``, of the same
        users choosing from items that training never shows.
        """
        found = evaluate(agent, self.watched, EVALUATION_SEED, self.signal)
        for prefix, venv in self.others.items():
            more = evaluate(agent, venv, EVALUATION_SEED, self.signal)
            found |= {f"{prefix}_{name}": value for name, value in more.items()}
        return found
