/** The page: its state, and how its parts follow it. */

import { Controls } from "./controls.js";
import { drawnOf, rangeOf } from "./derived.js";
import { byId, debounced } from "./dom.js";
import { isAbort, wordsOf } from "./fetching.js";
import { findMap, firstMap, isFlat, isSorted, mapOfLayer } from "./manifest.js";
import { MapLayer } from "./maplayer.js";
import { pathsOf } from "./outlines.js";
import { colourScale, paintCells, paintTissue, pixelOf } from "./painting.js";
import { formatView, parseView } from "./permalink.js";
import { blankTiles } from "./placedtiles.js";
import { slideSize } from "./placement.js";
import { Readout } from "./readout.js";
import { countsOf, outlineStyles } from "./regions.js";
import { SlideSession } from "./session.js";
import { Settings } from "./settings.js";
import { SlideList, showLinks, showPrediction } from "./slidelist.js";
import { SlideView } from "./slideview.js";

const SAVE_AFTER = 250;

/** The page at work. */
export class App {
  #session = null;
  #shown = null;
  #wanted = { kind: null, className: null };
  #hidden = false;
  /** Whether the slide is grey; null: as the run drew it. */
  #grey = null;
  #outlined = false;
  #regions = null;
  #settings = new Settings();
  #placed = false;
  #painting = 0;
  #saveSoon = debounced(() => this.#save(), SAVE_AFTER);
  ready = Promise.resolve(false);

  /**
   * @param run, palettes the server's answers
   * @param notices where to show messages
   * @param storeOf (slide in the run's list) => the store of its data
   */
  constructor(run, palettes, notices, storeOf) {
    this.run = run;
    this.palettes = palettes;
    this.notices = notices;
    this.storeOf = storeOf;
    this.view = new SlideView(byId("viewer"), byId("navigator"));
    this.layer = new MapLayer(this.view);
    this.readout = new Readout(this.view);
    this.list = new SlideList(run.slides);
    this.controls = new Controls(palettes, {
      layer: (kind) => this.#chooseLayer(kind),
      map: (name) => this.#choose(findMap(this.#session.layers, name)),
      look: (changes) => this.changeLook(changes),
      shown: (flag) => this.#setHidden(!flag),
      grey: (flag) => this.#setGrey(flag),
      outlines: (flag) => this.#setOutlined(flag),
    });
    this.view.onRest(this.#saveSoon);
    window.addEventListener("hashchange", () => this.#follow(location.hash));
  }

  /** Show the view in the address, else the first slide. */
  start() {
    const view = parseView(location.hash);
    const entry = this.#find(view.slide);
    this.ready = this.#load(entry ?? this.run.slides[0], view);
    if (view.slide !== null && !entry) this.#sayUnknown(view.slide);
  }

  #find(name) {
    const { slides } = this.run;
    return slides.find(({ folder }) => folder === name) ?? slides.find((slide) => slide.name === name) ?? null;
  }

  #follow(hash) {
    if (hash === this.#written) return;
    const view = parseView(hash);
    const entry = view.slide === null ? this.#session.entry : this.#find(view.slide);
    if (entry === null) this.#sayUnknown(view.slide);
    else if (entry === this.#session.entry && this.#session.manifest) this.#apply(view);
    else this.ready = this.#load(entry, view);
  }

  #sayUnknown(name) {
    this.notices.say(`This run has no slide “${name}”.`);
  }

  /** Load a slide; returns whether all of it could be read. */
  async #load(entry, view) {
    this.#session?.leave();
    const session = new SlideSession(entry, this.storeOf(entry));
    this.#session = session;
    this.#clear(entry);
    try {
      await this.notices.during(session.open());
    } catch (error) {
      this.#complain(session, error, `The results of ${entry.name} cannot be shown`);
      return false;
    }
    if (session.left) return false;
    const shown = this.#showSlide(session, view);
    this.#takeLook(view);
    const all = await Promise.all([shown, this.#showMap(), this.#showRegions()]);
    return !session.left && all.every(Boolean);
  }

  #clear(entry) {
    this.#placed = false;
    this.#shown = null;
    this.#regions = null;
    this.#saveSoon.cancel();
    this.view.close();
    this.layer.clear();
    this.readout.show(null);
    this.notices.clear();
    this.controls.showNothing();
    this.list.mark(entry);
    byId("slide-name").textContent = entry.name;
    byId("slide-name").title = entry.name;
    document.title = `${entry.name} – ${this.run.name}`;
    showPrediction(entry);
    showLinks(entry.links ?? this.run.links);
  }

  async #showSlide(session, view) {
    const { slide } = session.manifest;
    const { source, umWidth, fine } = await this.#tilesOf(session);
    if (session.left) return false;
    await this.view.show(slide, source, umWidth);
    if (session.left) return false;
    if (view.zoom !== null) this.view.goTo(view);
    this.#placed = true;
    this.#readAgain();
    this.#saveSoon();
    return fine;
  }

  async #tilesOf(session) {
    const { slide } = session.manifest;
    const blank = { source: blankTiles(slide), umWidth: slideSize(slide).x };
    try {
      const watch = {
        during: (promise) => this.notices.during(promise),
        failed: (error) => this.#complain(session, error, "Parts of the slide’s picture cannot be read"),
      };
      const source = await this.notices.during(session.tiles(watch));
      if (source === null) {
        this.notices.say("This run holds no picture of the slide; its outline is shown.");
        return { ...blank, fine: true };
      }
      return { source, umWidth: source.umWidth, fine: true };
    } catch (error) {
      this.#complain(session, error, "The slide’s picture cannot be read");
      return { ...blank, fine: false };
    }
  }

  #complain(session, error, what) {
    if (session.left || isAbort(error)) return;
    this.notices.say(`${what}: ${wordsOf(error)}.`);
  }

  /** Take the map and its look from a link; a link without a map does not change the map. */
  #takeLook(view) {
    const { layers } = this.#session;
    if (view.grey !== null) this.#grey = view.grey;
    if (view.outlines !== null) this.#outlined = view.outlines;
    this.view.setGrey(this.#isGrey());
    if (layers.length === 0) return;
    const named = view.map === null ? null : findMap(layers, view.map);
    if (view.map !== null && !named) this.notices.say(`This slide has no map “${view.map}”.`);
    const { layer, entry } = named ?? this.#mapOfKind(this.#wanted.kind);
    this.#shown = { layer, entry, values: null };
    if (named) this.#wanted = { kind: layer.kind, className: entry.className ?? this.#wanted.className };
    if (view.map !== null) {
      this.#settings.reset(layer.kind, entry.map);
      this.#hidden = view.hidden ?? false;
      this.#settings.change(layer.kind, entry.map, this.#lookIn(view));
    }
  }

  #lookIn(view) {
    const look = { from: view.from, to: view.to };
    if (view.opacity !== null) look.opacity = view.opacity;
    if (view.fade !== null) look.fade = view.fade;
    if (view.palette !== null && Object.hasOwn(this.palettes, view.palette)) look.palette = view.palette;
    return look;
  }

  /** Follow a link to the slide that is open already. */
  #apply(view) {
    this.#takeLook(view);
    this.ready = Promise.all([this.#showMap(), this.#showRegions()]).then((all) => all.every(Boolean));
    if (view.zoom !== null && this.#placed) this.view.goTo(view);
    this.#saveSoon();
  }

  /** Return the map of a kind for the class chosen last; without such a kind the first map. */
  #mapOfKind(kind) {
    const { layers, manifest } = this.#session;
    const hotClass = manifest.true_class ?? null;
    const layer = layers.find((other) => other.kind === kind);
    if (layer === undefined) return findMap(layers, firstMap(manifest.maps, hotClass).name);
    return { layer, entry: mapOfLayer(layer, this.#wanted.className, hotClass) };
  }

  #chooseLayer(kind) {
    this.#choose(this.#mapOfKind(kind));
  }

  #choose({ layer, entry }) {
    this.#wanted = { kind: layer.kind, className: entry.className ?? this.#wanted.className };
    this.#shown = { layer, entry, values: null };
    this.ready = this.#showMap();
    this.#saveSoon();
  }

  /** Read and paint the chosen map; returns whether it could be read. */
  async #showMap() {
    const session = this.#session;
    const shown = this.#shown;
    if (shown === null) {
      this.notices.say("This slide has no maps.");
      return false;
    }
    this.#paint();
    try {
      const { map } = shown.entry;
      const reads = Promise.all([session.valuesOf(map), session.fadingOf(map)]);
      const [raw, fading] = await this.notices.during(reads);
      if (session.left || shown !== this.#shown) return false;
      const values = drawnOf(raw, map.factor);
      Object.assign(shown, { raw, values, fading, range: rangeOf(values, map) });
    } catch (error) {
      if (shown === this.#shown) this.#complain(session, error, "The map’s values cannot be read");
      return false;
    }
    this.#paint();
    return true;
  }

  #paint() {
    this.#painting = 0;
    const { layer, entry, values, fading } = this.#shown;
    const { map } = entry;
    const look = this.#settings.look(layer.kind, map);
    const range = this.#shown.range ?? { lower: map.range.lower ?? 0, upper: map.range.upper ?? 1 };
    const fader = this.#faderOf(map);
    this.controls.show({ layers: this.#session.layers, layer, entry, look, hidden: this.#hidden, range, fader });
    this.layer.setOpacity(this.#hidden ? 0 : look.opacity);
    if (values) this.layer.setCells(this.#session.place, this.#painter(map, look, values, fading));
    else this.layer.clear();
    this.#readAgain();
  }

  /** Return the map of the channel that a map fades with, or null. */
  #faderOf({ opacity }) {
    const fading = opacity.fades_with;
    return (fading && this.#session.manifest.maps.find(({ channel }) => channel === fading.channel)) ?? null;
  }

  /** Show the outlines of the slide's regions if they are wanted; returns whether they could be read. */
  async #showRegions() {
    const session = this.#session;
    const { true_class: hotClass } = session.manifest;
    this.controls.offerOutlines(session.hasRegions);
    const wanted = this.#outlined && session.hasRegions;
    let fine = true;
    if (wanted && this.#regions === null) {
      try {
        const found = await this.notices.during(session.regions());
        if (session.left) return false;
        const styles = outlineStyles(session.manifest);
        this.#regions = { counts: countsOf(found), styles, outlines: pathsOf(found, styles) };
      } catch (error) {
        this.#complain(session, error, "The slide’s regions cannot be read");
        fine = false;
      }
    }
    if (session.left) return false;
    const shown = this.#outlined && this.#regions !== null;
    this.layer.setRegions(shown ? this.#regions.outlines : []);
    this.controls.showSlide({ grey: this.#isGrey(), outlines: this.#outlined, regions: this.#regions, hotClass });
    return fine;
  }

  #painter(map, look, values, fading) {
    if (isFlat(map)) return (out) => paintTissue(values, pixelOf(map.colours[0]), out);
    if (isSorted(map)) return (out) => paintCells(values, { scale: colourScale(map, null), from: 1, to: null, fade: null }, out);
    const palette = look.palette === null ? null : this.palettes[look.palette];
    const fade = fading && look.fade ? { values: fading, range: map.opacity.fades_with } : null;
    const scale = colourScale(map, palette);
    return (out) => paintCells(values, { scale, from: look.from, to: look.to, fade }, out);
  }

  #readAgain() {
    if (!this.#session?.manifest) return;
    const { manifest, place } = this.#session;
    this.readout.show({ slide: manifest.slide, place, raw: this.#shown?.raw ?? null, map: this.#shown?.entry.map });
  }

  /** Change the map's look; repeated calls paint it once per frame. */
  changeLook(changes) {
    if (this.#shown === null) return;
    const { layer, entry } = this.#shown;
    this.#settings.change(layer.kind, entry.map, changes);
    this.#painting ||= requestAnimationFrame(() => this.#shown && this.#paint());
    this.#saveSoon();
  }

  #setHidden(hidden) {
    this.#hidden = hidden;
    if (this.#shown) this.#paint();
    this.#saveSoon();
  }

  #isGrey() {
    return this.#grey ?? (this.#session?.manifest?.maps ?? []).some(({ over_grey: overGrey }) => overGrey);
  }

  #setGrey(grey) {
    this.#grey = grey;
    this.view.setGrey(grey);
    byId("grey").checked = grey;
    this.#saveSoon();
  }

  #setOutlined(outlined) {
    this.#outlined = outlined;
    if (this.#session?.manifest) this.ready = this.#showRegions();
    this.#saveSoon();
  }

  /** The functions of keys. */
  get actions() {
    return {
      pan: (x, y) => this.#byKeys(() => this.view.panBy(x, y)),
      zoom: (factor) => this.#byKeys(() => this.view.zoomBy(factor)),
      home: () => this.#byKeys(() => this.view.home()),
      opacity: (change) => this.#fainter(change),
      nextMap: () => this.#nextLayer(),
      nextClass: () => this.#nextClass(),
      slide: (steps) => this.#goAlong(steps),
      toggle: () => this.#setHidden(!this.#hidden),
      grey: () => this.#setGrey(!this.#isGrey()),
      outlines: () => this.#setOutlined(!this.#outlined),
      help: () => byId("keys").showModal(),
    };
  }

  #byKeys(run) {
    if (!this.#placed) return;
    this.readout.useCentre();
    run();
  }

  #fainter(change) {
    if (this.#shown === null) return;
    const { opacity } = this.#settings.look(this.#shown.layer.kind, this.#shown.entry.map);
    this.changeLook({ opacity: Math.min(1, Math.max(0, Math.round((opacity + change) * 100) / 100)) });
  }

  #nextLayer() {
    if (this.#shown === null) return;
    const { layers } = this.#session;
    const index = layers.indexOf(this.#shown.layer);
    this.#chooseLayer(layers[(index + 1) % layers.length].kind);
  }

  #nextClass() {
    if (this.#shown === null) return;
    const { layer, entry } = this.#shown;
    this.#choose({ layer, entry: layer.maps[(layer.maps.indexOf(entry) + 1) % layer.maps.length] });
  }

  #goAlong(steps) {
    const next = this.list.after(this.#session.entry, steps);
    if (next) location.hash = formatView({ slide: next.folder });
  }

  /** The view as the fields of a link. */
  viewNow() {
    const slide = this.#session?.entry.folder ?? null;
    const place = { ...(this.#placed ? this.view.place() : {}), grey: this.#grey, outlines: this.#outlined || null };
    if (this.#shown === null) return { slide, ...place };
    const { layer, entry } = this.#shown;
    const look = this.#settings.look(layer.kind, entry.map);
    return { slide, map: entry.map.name, ...place, ...look, fade: entry.map.opacity.fades_with ? look.fade : null, hidden: this.#hidden || null };
  }

  #written = null;

  #save() {
    if (!this.#placed) return;
    this.#written = formatView(this.viewNow());
    if (location.hash !== this.#written) history.replaceState(null, "", this.#written);
  }

  /** Return the address of the present view. */
  link() {
    if (this.#placed) this.#save();
    return location.href;
  }
}
