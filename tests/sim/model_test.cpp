// SPDX-License-Identifier: GPL-2.0-or-later
#include "model.h"
#include <gtest/gtest.h>
