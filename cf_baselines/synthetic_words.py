"""The vocabulary of the demo catalogue: what people, places and troubles each theme knows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lexicon:
    """Phrases of one theme, each ready to stand in the sentence patterns of `synthetic_text`."""

    nouns: tuple[str, ...]  # title words, capitalised
    people: tuple[str, ...]  # who it is about, with article
    places: tuple[str, ...]  # where, with article, to follow "in" or "at"
    wants: tuple[str, ...]  # what for, "to ..."
    turns: tuple[str, ...]  # what happens, a clause
    images: tuple[str, ...]  # what one sees, plural or mass
    band: tuple[str, ...]  # instruments heard in the theme's music


def phrases(text: str) -> tuple[str, ...]:
    """Return the parts of a text separated by semicolons."""
    return tuple(part.strip() for part in text.split(";"))


LEXICA: dict[str, Lexicon] = {
    "sea": Lexicon(
        phrases("Tide;Lighthouse;Harbour;Anchor;Sail;Reef;Lagoon;Keel;Shoal;Breakwater;Ferry"),
        phrases(
            "a lighthouse keeper's daughter;a retired trawler captain;a young marine biologist;"
            "the last sailmaker of the port;a ferry cook;two rival oyster divers;"
            "a cabin boy who cannot swim;a woman who charts drowned reefs"
        ),
        phrases(
            "a fishing village at the end of a shingle spit;a harbour closed by fog;"
            "a hamlet with a single jetty;a dry dock that smells of tar;"
            "a lighthouse above the shipping lane;a bay where the whales come to calve"
        ),
        phrases(
            "to follow a whale nobody else believes in;to put a wrecked sloop back on the water;"
            "to cross the strait before the autumn gales;to find the bell of a sunken ship;"
            "to keep the lamp burning one more winter;to learn why the herring stayed away"
        ),
        phrases(
            "the tide carries in a boat without a crew;a storm cuts the island off for nine days;"
            "an old rival drops anchor in the bay;the nets come up full of letters;"
            "the fleet fails to come home;a stranger is washed onto the rocks"
        ),
        phrases(
            "grey swells and gulls;salt on the windows;wet rope and lantern light;"
            "waves breaking over the mole;white sails far out"
        ),
        phrases("harp and surf;an accordion over rolling waves;plucked strings and sea wind"),
    ),
    "space": Lexicon(
        phrases("Orbit;Comet;Nebula;Station;Planet;Signal;Eclipse;Rocket;Star;Airlock;Moon"),
        phrases(
            "the only botanist aboard an ageing station;a radio astronomer on night duty;"
            "a pilot due for retirement;a girl raised between planets;a crew of five strangers;"
            "an engineer who repairs satellites;a test astronaut with a secret;"
            "the translator of an unknown signal"
        ),
        phrases(
            "a station in orbit around Saturn;a colony under a cracked dome;"
            "an observatory above the clouds;a capsule drifting past the Moon;"
            "a launch base on the steppe;a cargo ship between two stars"
        ),
        phrases(
            "to answer a message older than the Sun;to land where three probes were lost;"
            "to bring the crew home with half the fuel;to name a planet after a lost brother;"
            "to hear what the pulsar is counting;to grow one tree in zero gravity"
        ),
        phrases(
            "the signal answers in a child's voice;an asteroid crosses the flight path;"
            "the main antenna falls silent;a second crew claims the same ship;"
            "the planet below turns off its lights;gravity fails in the middle of the night"
        ),
        phrases(
            "rings of ice and starlight;a blue planet in a round window;drifting tools and tethers;"
            "galaxies like spilled salt;the glow of a control panel"
        ),
        phrases("slow synthesizer pads;glassy tones and distant bleeps;a choir of oscillators"),
    ),
    "forest": Lexicon(
        phrases("Pine;Hollow;Fern;Clearing;Oak;Owl;Moss;Fox;Timber;Thicket;Birch"),
        phrases(
            "a ranger close to retirement;a charcoal burner and his son;a collector of birdsong;"
            "a botanist who distrusts maps;three sisters gathering mushrooms;"
            "a woodcutter who no longer cuts;a boy raised by his grandmother;a trapper turned guide"
        ),
        phrases(
            "an old wood that no road enters;a cabin among black pines;"
            "a clearing where deer gather at dusk;a valley of thousand-year-old oaks;"
            "a ranger's tower above the canopy;a village on the edge of the birch woods"
        ),
        phrases(
            "to record a bird thought to be extinct;to save the oldest oak from the saw;"
            "to find the way to a spring in a story;to live a year by what the trees give;"
            "to count the last wolves;to plant back what the fire took"
        ),
        phrases(
            "the loggers arrive a month early;a lost child walks out of the ferns;"
            "the owls stop calling;a fire jumps the river;an old path opens after the rain;"
            "footprints appear around the cabin"
        ),
        phrases(
            "moss and slanting light;mist between the trunks;wet leaves and lantern glow;"
            "branches against a pale sky;fox tracks in the mud"
        ),
        phrases("a wooden flute among birds;breathy pipes and birdsong;flute and rustling leaves"),
    ),
    "city": Lexicon(
        phrases("Avenue;Rooftop;Neon;Subway;Skyline;Corner;Taxi;Alley;Tower;Crosswalk;Block"),
        phrases(
            "a taxi driver on the night shift;a window cleaner on the fiftieth floor;"
            "a jazz drummer behind on the rent;two bicycle couriers;a rookie crime reporter;"
            "a landlady who hears everything;an architect without commissions;a busker and her dog"
        ),
        phrases(
            "a rented room above the elevated line;an all-night diner downtown;"
            "a walk-up above the whole skyline;a tenement block marked for demolition;"
            "the back seat of a yellow cab;a newsroom that never sleeps"
        ),
        phrases(
            "to win back a corner lost to developers;to play one night at the famous club;"
            "to cross town before the morning edition;to find the owner of a forgotten suitcase;"
            "to keep the block together through a heat wave;to make rent by Friday"
        ),
        phrases(
            "the lights go out in every tower;a passenger leaves a bag full of cash;"
            "the mayor's car disappears;a new neighbour moves in upstairs;"
            "the strike stops every train;somebody paints over the mural"
        ),
        phrases(
            "neon in wet asphalt;lit windows by the thousand;steam from the gratings;"
            "traffic seen from a roof;streetlamps and late buses"
        ),
        phrases("walking bass, brass and drums;a small jazz band;hi-hats and an electric bass"),
    ),
    "desert": Lexicon(
        phrases("Dune;Caravan;Oasis;Mirage;Well;Canyon;Scorpion;Sand;Cactus;Nomad;Salt Road"),
        phrases(
            "a caravan guide who is losing his sight;an archaeologist short of money;"
            "a well digger's apprentice;a rally mechanic;two smugglers and a camel;"
            "a schoolteacher among nomads;a surveyor of empty land;a falconer's heir"
        ),
        phrases(
            "an oasis that is not on any map;a settlement three days from water;"
            "a ruined fort on the caravan road;a trading post at the foot of the dunes;"
            "a canyon the colour of rust;a camp under a tent of black goat hair"
        ),
        phrases(
            "to cross the great dunes before the wells run dry;to uncover a temple in the sand;"
            "to deliver a camel worth a kingdom;to find a city seen once in a mirage;"
            "to race a sandstorm to the border;to dig where the old songs say there is water"
        ),
        phrases(
            "a sandstorm buries the camp;the well gives up a golden mask;"
            "the guide walks off at night;"
            "bandits close the only pass;rain falls for the first time in eleven years;"
            "the compass begins to lie"
        ),
        phrases(
            "heat shimmer and long shadows;camels on a ridge of sand;a white sun over the dunes;"
            "cactus and red rock;tents at the edge of the dark"
        ),
        phrases("oud and frame drum;a plucked lute over hand drums;reed pipe and desert drum"),
    ),
    "kitchen": Lexicon(
        phrases("Supper;Loaf;Teapot;Ladle;Recipe;Oven;Spoon;Pepper;Table;Apron;Soup"),
        phrases(
            "a pastry chef who has lost her sense of taste;a grandmother and her cookbook;"
            "the dishwasher of a grand hotel;two brothers with one soup stall;"
            "a critic who cannot cook;a baker up since three;a widower learning to make dumplings;"
            "the cook of a school canteen"
        ),
        phrases(
            "a basement kitchen with six burners;a bakery that opens at four in the morning;"
            "a farmhouse kitchen laid for twenty;a noodle shop with five stools;"
            "a hotel kitchen on New Year's Eve;a flat that smells of cinnamon"
        ),
        phrases(
            "to bake the bread of a vanished village;to open for one last supper;"
            "to steal back a family recipe;to feed a wedding with an empty pantry;"
            "to win a star without a dining room;to cook one dish from every neighbour's home"
        ),
        phrases(
            "the oven dies an hour before the guests come;a famous critic orders only toast;"
            "the secret ingredient turns out to be shop-bought;the head chef walks out mid-service;"
            "an old love sits down at table four;someone salts the sugar"
        ),
        phrases(
            "copper pans and steam;flour on every surface;a pot about to boil over;"
            "tomatoes, onions and knives;teacups on a checked cloth"
        ),
        phrases("marimba and clinking spoons;xylophone and shaker;wooden bars and kettle taps"),
    ),
    "mountain": Lexicon(
        phrases("Summit;Ridge;Glacier;Avalanche;Pass;Peak;Rope;Eagle;Cairn;Snowline;Crag"),
        phrases(
            "a guide who has sworn off climbing;a shepherdess of the high pastures;"
            "a rescue pilot;two sisters roped together;a monk who keeps a mountain hut;"
            "a geologist and her mule;the son of a famous alpinist;a postman above the snowline"
        ),
        phrases(
            "a stone hut below the north face;a village cut off ten months a year;"
            "a valley in the shadow of the glacier;a monastery on a cliff;"
            "a base camp at the end of the season;a high pasture where the bells never stop"
        ),
        phrases(
            "to climb the ridge that took a father;to bring the herd down before the snow;"
            "to measure a glacier before it is gone;to carry a piano over the pass;"
            "to ring the summit bell once more;to reach the hut before the weather turns"
        ),
        phrases(
            "an avalanche closes the valley;the rope comes back cut;"
            "a light shows on the north face;"
            "the weather turns two days early;the glacier gives up a rucksack from 1911;"
            "the guide refuses to go on"
        ),
        phrases(
            "snow against a dark blue sky;ice axes and frozen breath;clouds below the ridge;"
            "an eagle over bare rock;a tent no bigger than a stone"
        ),
        phrases("alphorn and open strings;horns answering across a valley;brass chords and wind"),
    ),
    "railway": Lexicon(
        phrases(
            "Express;Platform;Locomotive;Signal Box;Sleeper;Junction;Viaduct;Carriage;"
            "Night Train;Branch Line;Timetable"
        ),
        phrases(
            "a signalman on a branch line;the conductor of the night express;"
            "a stowaway with a violin;a stoker who writes poems;a detective without a ticket;"
            "two strangers in one sleeping car;a stationmaster's widow;a track inspector on foot"
        ),
        phrases(
            "a junction station where nobody changes trains;the dining car of the northern express;"
            "a station waiting to be closed;a signal box beside the viaduct;"
            "a sleeping car stopped in open country;a locomotive shed full of steam"
        ),
        phrases(
            "to run an old steam engine one last time;to reach the border before the wire does;"
            "to return a trunk left on platform nine;to keep the branch line on the timetable;"
            "to find out who pulled the brake;to ride every mile of track in the country"
        ),
        phrases(
            "the train leaves a passenger short;the signals turn green by themselves;"
            "snow stops the express between two tunnels;a rival line buys the bridge;"
            "an unlisted carriage is coupled on at midnight;the brakes give out on the grade"
        ),
        phrases(
            "steam and steel rails;telegraph poles going by;lamps in an empty station;"
            "sparks from the firebox;carriage windows in the dark"
        ),
        phrases(
            "harmonica over a chugging rhythm;slide guitar and train beat;blues harp and rails"
        ),
    ),
    "garden": Lexicon(
        phrases("Rose;Orchard;Greenhouse;Tulip;Bee;Hedge;Petal;Blossom;Trowel;Ivy;Sunflower"),
        phrases(
            "a beekeeper and her grandson;the head gardener of a faded estate;"
            "a clerk with an allotment;two feuding rose growers;a painter of botanical plates;"
            "a girl who talks to tulips;a retired judge growing pumpkins;the heir to a wild orchard"
        ),
        phrases(
            "a walled garden behind the hospital;an allotment beside the canal;"
            "a greenhouse with broken panes;an orchard in its last blossom;"
            "a village getting ready for the flower show;a courtyard of lemon trees"
        ),
        phrases(
            "to breed a rose without thorns;to bring back a garden from one old photograph;"
            "to win the flower show by honest means;to save the hives through a wet summer;"
            "to grow a tulip nearly black;to open the locked gate behind the ivy"
        ),
        phrases(
            "a late frost takes the blossom;the bees move into the church organ;"
            "a prize marrow is stolen;someone plants a tree in the night;"
            "the neighbour takes down the hedge;a letter turns up under the roses"
        ),
        phrases(
            "bees in tall flowers;watering cans and morning light;petals on the path;"
            "butterflies above the beds;apples in wet grass"
        ),
        phrases("music box and plucked violins;celesta and pizzicato;small bells like dew"),
    ),
    "library": Lexicon(
        phrases(
            "Archive;Page;Bookshop;Margin;Atlas;Manuscript;Catalogue;Footnote;Inkwell;"
            "Chapter;Reading Room"
        ),
        phrases(
            "an archivist who never forgets a hand;a bookbinder with failing eyes;"
            "a night porter who reads everything;a forger of first editions;"
            "a student locked in by mistake;the last scribe of a small language;"
            "a librarian and a book thief;a translator of one single poem"
        ),
        phrases(
            "a reading room under a glass dome;a bookshop with a cat and no customers;"
            "an archive about to be flooded;a monastery library with a missing shelf;"
            "a mobile library on country roads;a cellar full of unsorted letters"
        ),
        phrases(
            "to find the last page of an unfinished novel;to return a book two centuries overdue;"
            "to learn who wrote in the margins;to catalogue a dead poet's papers;"
            "to save the books before the roof comes down;to prove a famous diary false"
        ),
        phrases(
            "a letter falls out of an atlas;the catalogue lists a book nobody has bought;"
            "the same reader signs in on the same day each century;a shelf is emptied overnight;"
            "the author walks in and asks for a chair;ink appears on a blank page"
        ),
        phrases(
            "dust in lamplight;spines with gilded letters;ladders and long shelves;"
            "ink stains and paper slips;a green lamp on an oak desk"
        ),
        phrases("a lone piano and a ticking clock;felted piano;piano chords in an empty hall"),
    ),
}
