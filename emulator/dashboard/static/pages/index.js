// All pages. A page is a module with a default export: the component, which gets { params, query }.
//
// `path`: pattern of the address behind `#/`. `nav`: its entry in the navigation, in this order; absent: it has none.
// `icon`: of components/icons.js. `key`: the second key of the shortcut `g …`.

export const pages = [
  { path: "", nav: "Home", icon: "home", key: "h", load: () => import("./home.js") },
  { path: "functions", nav: "Functions", icon: "functions", key: "f", load: () => import("./functions.js") },
  { path: "functions/:name", load: () => import("./function.js") },
  { path: "instances", nav: "Instances", icon: "instances", key: "i", load: () => import("./instances.js") },
  { path: "instances/:id", load: () => import("./instance.js") },
  { path: "entities", nav: "Entities", icon: "entities", key: "e", load: () => import("./entities.js") },
  { path: "storage", nav: "Storage", icon: "storage", key: "s", load: () => import("./storage.js") },
  { path: "storage/:kind/:name", load: () => import("./storage_item.js") },
  { path: "logs", nav: "Logs", icon: "logs", key: "l", load: () => import("./logs.js") },
  { path: "settings", nav: "Settings", icon: "settings", key: "t", load: () => import("./settings.js") },
];
