"""The personas of the demo's users: what each kind of person likes, and words that hint at it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Persona:
    """A kind of person: likes and dislikes by attribute, and sentences that hint at them."""

    likes: dict[str, float]  # theme, mood, "tempo" or "recent"; positive is liked
    introductions: tuple[str, ...]


PERSONAS = (
    Persona(
        {
            "sea": 2.0,
            "railway": 0.8,
            "library": 0.3,
            "melancholy": 1.0,
            "calm": 0.5,
            "city": -1.0,
            "space": -0.5,
            "fierce": -0.6,
            "tempo": -0.4,
            "recent": -0.5,
        },
        (
            "Retired sailor who reads in the evenings and still checks the wind first.",
            "Former ship's cook, now mending nets and telling the same four stories.",
            "Grew up in a harbour town and never quite moved inland.",
            "Harbour pilot, 61, fond of foghorns and long silences.",
            "Widow of a ferryman; walks to the pier every morning.",
        ),
    ),
    Persona(
        {
            "space": 2.0,
            "mountain": 0.6,
            "library": 0.5,
            "dreamy": 1.2,
            "kitchen": -1.0,
            "garden": -0.6,
            "joyful": -0.3,
            "recent": 0.3,
        },
        (
            "Astronomy student who sleeps by day and keeps a telescope on the balcony.",
            "Physics teacher with a meteorite on the desk.",
            "Builds model rockets and owns more star charts than road maps.",
            "Planetarium guide, prone to staring upwards.",
            "Wanted to be an astronaut at six and has not entirely given up.",
        ),
    ),
    Persona(
        {
            "city": 2.0,
            "railway": 0.5,
            "space": 0.4,
            "tense": 1.2,
            "fierce": 0.4,
            "forest": -0.8,
            "garden": -1.0,
            "calm": -0.5,
            "tempo": 0.5,
        },
        (
            "Night-shift nurse who comes home when the trams start running.",
            "Crime reporter, lives on coffee above a noisy crossroads.",
            "Bartender downtown; prefers neon to daylight.",
            "Taxi dispatcher with a taste for twists and dark alleys.",
            "Moved to the capital for a week, nine years ago.",
        ),
    ),
    Persona(
        {
            "kitchen": 2.0,
            "garden": 1.0,
            "joyful": 1.2,
            "tense": -1.0,
            "space": -1.0,
            "desert": -0.6,
            "melancholy": -0.3,
        },
        (
            "Home cook who feeds the whole street on Sundays.",
            "Runs a bakery with two cousins and sings while kneading.",
            "Grandfather of five, famous for his soups.",
            "School canteen manager who collects old cookbooks.",
            "Grows her own tomatoes and gives most of the sauce away.",
        ),
    ),
    Persona(
        {
            "mountain": 1.6,
            "forest": 1.5,
            "calm": 1.0,
            "city": -1.2,
            "tense": -0.5,
            "library": -0.5,
            "tempo": -0.2,
        },
        (
            "Park ranger who is rarely indoors before dark.",
            "Weekend hiker, keeps a list of every hut and every owl.",
            "Geography teacher with muddy boots by the door.",
            "Mountain guide in summer, carpenter in winter.",
            "Left an office job to plant trees.",
        ),
    ),
    Persona(
        {
            "desert": 1.7,
            "railway": 1.2,
            "sea": 0.5,
            "fierce": 0.8,
            "library": -0.8,
            "garden": -0.7,
            "kitchen": -0.3,
            "calm": -0.3,
        },
        (
            "Has crossed two continents by train and one on a camel.",
            "Archaeologist between digs, sunburnt in every photograph.",
            "Long-haul driver who plans holidays with even longer drives.",
            "Travel writer with sand in all the bags.",
            "Engineer on desert pipelines, home six weeks a year.",
        ),
    ),
    Persona(
        {
            "library": 2.0,
            "garden": 0.7,
            "melancholy": 0.8,
            "dreamy": 0.5,
            "fierce": -1.0,
            "desert": -0.6,
            "city": -0.3,
            "tempo": -0.5,
            "recent": -0.6,
        },
        (
            "Librarian who waters the roses between chapters.",
            "Retired teacher of Latin with a wall of first editions.",
            "Bookbinder; listens to rain and slow piano records.",
            "Literature student who writes letters by hand.",
            "Second-hand bookseller with a cat called Footnote.",
        ),
    ),
    Persona(
        {
            "fierce": 1.5,
            "city": 0.8,
            "mountain": 0.7,
            "tense": 0.6,
            "desert": 0.5,
            "calm": -1.2,
            "library": -1.0,
            "garden": -0.7,
            "tempo": 0.9,
            "recent": 0.5,
        },
        (
            "Bicycle courier who boxes on Thursdays.",
            "Drummer in two loud bands and one very loud one.",
            "Stunt coordinator, never sits through the credits.",
            "Ice climber and rally co-driver; bored by Sunday noon.",
            "Gym owner who turns everything up.",
        ),
    ),
)
