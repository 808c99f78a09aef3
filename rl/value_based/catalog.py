"""The models that learn action values, and their task, as data: importing this file imports no torch."""

from zoo.records import Entry, Paper, TaskEntry

TASK = "rl/value_based"
NETWORK = "rl.value_based.networks:QNetwork"

NATURE = Paper(
    title="Human-level control through deep reinforcement learning", authors="Mnih et al.", year=2015,
    id="doi:10.1038/nature14236",
)  # fmt: skip
DOUBLE = Paper(
    title="Deep reinforcement learning with double Q-learning", authors="van Hasselt, Guez and Silver", year=2016,
    id="arXiv:1509.06461",
)  # fmt: skip
DUELING = Paper(
    title="Dueling network architectures for deep reinforcement learning", authors="Wang et al.", year=2016,
    id="arXiv:1511.06581",
)  # fmt: skip
PRIORITIZED = Paper(
    title="Prioritized experience replay",
    authors="Schaul, Quan, Antonoglou and Silver",
    year=2016,
    id="arXiv:1511.05952",
)
WATKINS = Paper(title="Q-learning", authors="Watkins and Dayan", year=1992, id="doi:10.1007/BF00992698")

# -- Mnih et al. 2015, extended data table 1. Steps there are of the agent, which sees every fourth frame; the target
# -- network is renewed every 10,000 updates, which are every 40,000 steps.
NATURE_OPTIONS = {
    "buffer_size": 1_000_000, "learning_starts": 50_000, "train_every": 4, "updates_per_train": 1,
    "target_update_every": 40_000, "initial_epsilon": 1.0, "final_epsilon": 0.1, "exploration_steps": 1_000_000,
    "evaluation_epsilon": 0.05, "clip_rewards": True,
}  # fmt: skip
# -- Adam at the rate of Hessel et al. 2018, arXiv:1710.02298, table 1, in place of the paper's centred RMSProp.
NATURE_RECIPE = {
    "epochs": 200, "lr": 6.25e-5, "optimizer": "adam", "optimizer_options": {"eps": 1.5e-4}, "batch_size": 32,
    "clip_norm": None, "checkpoint_seconds": 1800.0, "log_every_steps": 1000,
}  # fmt: skip

MODELS: tuple[Entry, ...] = (
    Entry(
        name="q_learning", task=TASK, builder="rl.value_based.networks:QTable", paper=WATKINS, num_params=64,
        input_shape=(), summary="A table of the values of states and actions, for environments with numbered states",
        task_options={"algorithm": "q_learning", "final_epsilon": 0.1, "exploration_fraction": 0.5},
        recipe={
            "epochs": 300, "lr": 0.2, "schedule": "cosine", "optimizer": "sgd", "weight_decay": 0.0,
            "clip_norm": None, "log_every_steps": 1000,
        },
    ),
    Entry(
        name="dqn", task=TASK, builder=NETWORK, paper=NATURE, num_params=67_586, input_shape=(4,),
        summary="Deep Q-network on vectors: a memory of the past, and a target network that stands still",
    ),
    Entry(
        name="double_dqn", task=TASK, builder=NETWORK, paper=DOUBLE, num_params=67_586, input_shape=(4,),
        summary="DQN whose online network chooses the action that the target network values, against over-estimation",
        task_options={"double": True},
    ),
    Entry(
        name="dueling_dqn", task=TASK, builder=NETWORK, paper=DUELING, num_params=133_635, input_shape=(4,),
        summary="DQN with one stream for the value of the state and one for the advantages of actions",
        config={"dueling": True},
    ),
    Entry(
        name="prioritized_dqn", task=TASK, builder=NETWORK, paper=PRIORITIZED, num_params=67_586, input_shape=(4,),
        summary="Double DQN that draws what it was most wrong about more often, at a quarter of the learning rate",
        task_options={"double": True, "replay": "prioritized"}, recipe={"lr": 2.3e-3 / 4},
    ),
    Entry(
        name="dqn_nature", task=TASK, builder="rl.value_based.networks:NatureQNetwork", paper=NATURE,
        num_params=1_687_206, input_shape=(4, 84, 84),
        summary="The convolutional Q-network that learned 49 Atari games from pixels",
        task_options=NATURE_OPTIONS, recipe=NATURE_RECIPE,
    ),
)  # fmt: skip

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name=TASK, builder="rl.value_based.task:ValueLearning", reader="rl.environments.reading:read_environment",
        summary="Learning what actions are worth, in environments with numbered actions", from_disk=False,
    ),
)  # fmt: skip
