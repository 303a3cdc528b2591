namespace HouseTests;

/// <summary>A local package feed of what the tests' build made.</summary>
internal static class Feed
{
    /// <summary>
    /// Packs every project under src that is built. Nothing is written into the repository's folders but what a build writes anyway, so
    /// that tests of other projects can pack at the same time.
    /// </summary>
    public static async Task PackAsync(string feed, IEnumerable<string> projects)
    {
        foreach (var project in projects)
        {
            var (exitCode, output) = await Dotnet.RunAsync(
                Repository.ProjectFolder(project), "pack", "--no-build", "--no-restore", "-nologo", "-c", Repository.Configuration, "-o",
                feed,
                $"-p:NuspecOutputPath={Path.Combine(feed, "nuspec", project)}/", "-warnaserror");
            if (exitCode != 0)
                throw new InvalidOperationException($"Packing {project} failed:\n{output}");
        }
    }
}
