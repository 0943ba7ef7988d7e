"""Stage `faithfulness`: do relevances say what removing a component does?"""
