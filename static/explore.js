// The explorer: on a narrow screen the facets are folded until they are asked for.
const facets = document.querySelector(".facets");
if (facets && matchMedia("(max-width: 56rem)").matches) facets.open = false;
