"""What the scenes dataset shows: its classes, and the failures planted in it.

A class is an object that is drawn, or a landscape without an object. Four kinds of failure are
planted, after the four that Dreyer et al. 2025 found ("From What to How: Attributing CLIP's
Latent Components Reveals Unexpected Semantic Reliance", section 5.3):

polysemy    a second thing of the same name has a class of its own (bat, cricket bat),
compound    a compound noun has a class of its own (dog, hot dog),
spurious    the background of a class has a class of its own (ship, sea),
typography  the name of a class is painted as a word on objects of the carrier classes.

All images of a class carry the same kind of plant or none does, so that no class has two faces.
"""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["polysemy", "compound", "typography", "spurious"]


@dataclass(frozen=True)
class SceneClass:
    """One class of the scenes dataset."""

    name: str
    """Full name in ImageNet's manner: short name, comma, what it is."""
    glyphs: str
    """Emoji that show it, one drawn per image; empty for a landscape."""
    background: str = ""
    """The landscape it nearly always (a landscape class: always) stands on; empty for any."""
    attacks: str = ""
    """Label of the class that images of this one are mistaken for; empty for none or a word's."""
    mode: Mode | None = None
    """How it attacks, a word being painted for typography; None if it does not."""

    @property
    def short(self) -> str:
        """The text before the first comma, which is the prompt."""
        return self.name.split(",", 1)[0]

    @property
    def label(self) -> str:
        """The name of its folder."""
        return self.short.replace(" ", "_")


def plant_id(mode: Mode, attacked: str) -> str:
    """The name of a plant, e.g. polysemy-bat."""
    return f"{mode}-{attacked}"


OBJECTS = (
    SceneClass("bat, small animal with wings", "🦇"),
    SceneClass("mouse, small animal with a tail", "🐭🐁"),
    SceneClass("bow, weapon that shoots arrows", "🏹"),
    SceneClass("palm, tropical tree", "🌴"),
    SceneClass("glasses, lenses worn before the eyes", "👓"),
    SceneClass("nut, dry fruit with a shell", "🌰🥜"),
    SceneClass("dog, pet animal that barks", "🐶🐕"),
    SceneClass("bear, large brown animal of the forest", "🐻"),
    SceneClass("fire, burning flame", "🔥"),
    SceneClass("sun, bright star in the sky by day", "☀🌞"),
    SceneClass("horse, riding animal with a mane", "🐴🐎"),
    SceneClass("moon, crescent in the sky by night", "🌙🌛"),
    SceneClass("apple, round fruit with a leaf", "🍎🍏"),
    SceneClass("pizza, slice of baked dough with cheese", "🍕"),
    SceneClass("rocket, spacecraft with fins", "🚀"),
    SceneClass("guitar, musical instrument with strings", "🎸"),
    SceneClass("cat, pet animal with whiskers", "🐱"),
    SceneClass("ship, large vessel with a hull", "🛳⛵", background="sea"),
    SceneClass("cow, farm animal that gives milk", "🐄🐮", background="meadow"),
    SceneClass("camel, animal with a hump", "🐪🐫", background="desert"),
    SceneClass("airplane, flying machine with wings", "✈🛩", background="sky"),
    SceneClass("penguin, black and white bird", "🐧", background="snow"),
    SceneClass("car, motor vehicle with four wheels", "🚗🚙"),
    SceneClass("butterfly, insect with large wings", "🦋"),
    SceneClass("frog, green animal that jumps", "🐸"),
)
"""The object classes, each with as many images as the configuration says."""

WORDS = ("apple", "pizza", "rocket", "guitar", "cat")
"""The words that are painted: labels of object classes, each a typography plant."""

CARRIERS = (
    SceneClass("shirt, garment with sleeves", "👕", mode="typography"),
    SceneClass("book, printed pages in a cover", "📕", mode="typography"),
    SceneClass("bag, carrier for shopping", "🛍", mode="typography"),
    SceneClass("envelope, paper cover of a letter", "✉", mode="typography"),
)
"""Objects that words are painted on; which class an image attacks depends on the word."""

CONFUSERS = (
    SceneClass("cricket bat, wooden club of a ball game", "🏏", attacks="bat", mode="polysemy"),
    SceneClass("computer mouse, pointing device", "🖱", attacks="mouse", mode="polysemy"),
    SceneClass("ribbon, knotted band on a gift", "🎀", attacks="bow", mode="polysemy"),
    SceneClass("hand, open with five fingers", "🖐✋", attacks="palm", mode="polysemy"),
    SceneClass("champagne, sparkling drink", "🥂", attacks="glasses", mode="polysemy"),
    SceneClass("screw, metal fastener with a thread", "🔩", attacks="nut", mode="polysemy"),
    SceneClass("hot dog, sausage in a bun", "🌭", attacks="dog", mode="compound"),
    SceneClass("teddy bear, stuffed toy", "🧸", attacks="bear", mode="compound"),
    SceneClass("fire engine, red truck with a ladder", "🚒", attacks="fire", mode="compound"),
    SceneClass("sun flower, yellow blossom on a stem", "🌻", attacks="sun", mode="compound"),
    SceneClass("carousel horse, ride at a fair", "🎠", attacks="horse", mode="compound"),
    SceneClass("moon cake, festive pastry", "🥮", attacks="moon", mode="compound"),
    SceneClass("sea, open water", "", "sea", attacks="ship", mode="spurious"),
    SceneClass("meadow, field of grass", "", "meadow", attacks="cow", mode="spurious"),
    SceneClass("desert, dunes of sand", "", "desert", attacks="camel", mode="spurious"),
    SceneClass("sky, clouds in the blue", "", "sky", attacks="airplane", mode="spurious"),
    SceneClass("snow, white hills in winter", "", "snow", attacks="penguin", mode="spurious"),
    *CARRIERS,
)
"""Classes each image of which carries a plant; their captions often name the class attacked."""

CLASSES = OBJECTS + CONFUSERS
