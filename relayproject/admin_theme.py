"""The look of the operators' pages: the configuration of unfold, the theme of Django's admin. It is no setting."""

STATIC_URL = "/static/"

UNFOLD = {
    "SITE_TITLE": "Relay",
    "SITE_HEADER": "Relay",
    "SITE_SUBHEADER": "Operators",
    "SITE_URL": "/",
    "SITE_SYMBOL": "cell_tower",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}relay/icon.svg"}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": True,
    "DASHBOARD_CALLBACK": "analytics.dashboard.page.dashboard",
    "SIDEBAR": {"navigation": "analytics.navigation.sections"},
    "SCRIPTS": [f"{STATIC_URL}analytics/keyboard.js"],
    "STYLES": [f"{STATIC_URL}relay/admin.css"],
    "COLORS": {
        "primary": {  # the green of the front page
            "50": "#effaf6",
            "100": "#d8eee7",
            "200": "#b0ddd0",
            "300": "#7fcab6",
            "400": "#3ecfae",
            "500": "#1aa487",
            "600": "#0d7a66",
            "700": "#0b6e5c",
            "800": "#0a5548",
            "900": "#08433a",
            "950": "#06231c",
        },
    },
}
