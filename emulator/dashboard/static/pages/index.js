// All pages. A page is a module with a default export: the component, which gets { params, query }.
//
// `path`: pattern of the address behind `#/`. `nav`: its entry in the navigation, in this order; absent: it has none.
// `icon`: of components/icons.js. `key`: the second key of the shortcut `g …`.

export const pages = [
  { path: "", nav: "Home", icon: "home", key: "h", load: () => import("./home.js") },
  { path: "instances", nav: "Instances", icon: "instances", key: "i", load: () => import("./instances.js") },
  { path: "instances/:id", load: () => import("./instance.js") },
  { path: "entities", nav: "Entities", icon: "entities", key: "e", load: () => import("./entities.js") },
];
