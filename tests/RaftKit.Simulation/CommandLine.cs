using System.CommandLine;

namespace RaftKit.Simulation;

/// <summary>What the command lines of the checks have in common: this one's, the fuzzer's, the exhaustive check's and the chaos run's.</summary>
internal static class CommandLine
{
    /// <summary>Neither that all is well, nor a finding.</summary>
    public const int BadFlags = 2;

    /// <summary>Does what the flags ask for, or names all that is wrong with them.</summary>
    public static async Task<int> RunAsync(RootCommand command, string[] args)
    {
        var parsed = command.Parse(args);
        if (parsed.Errors.Count == 0)
            return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
        foreach (var error in parsed.Errors)
            await Console.Error.WriteLineAsync(error.Message);
        return BadFlags;
    }

    /// <summary>Wants something of an option's value, where it is given.</summary>
    public static void Check<T>(this Option<T> option, Func<T, bool> holds, string otherwise) =>
        option.Check(value => holds(value) ? null : otherwise, otherwise);

    /// <summary>The same, where what is wrong depends on the value.</summary>
    /// <param name="option">The option.</param>
    /// <param name="whyNot">What is wrong with a value; null if nothing is.</param>
    /// <param name="otherwise">What is said of one that is no <typeparamref name="T"/> at all.</param>
    public static void Check<T>(this Option<T> option, Func<T, string?> whyNot, string otherwise) => option.Validators.Add(flag =>
    {
        try
        {
            if (flag.GetValueOrDefault<T>() is { } value && whyNot(value) is { } wrong)
                flag.AddError(wrong);
        }
        catch (InvalidOperationException)
        {
            // The parser throws where a validator asks for what it could not read ("--jobs x").
            flag.AddError(otherwise);
        }
    });

    /// <summary>Why nothing can be written to a file, told before anything is done for it; null if it can be, as far as can be seen.</summary>
    public static string? WhyNotWritten(string flag, string file)
    {
        if (file.Length == 0 || Directory.Exists(file))
            return $"{flag} must name a file, not '{file}'.";
        var folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        return Directory.Exists(folder) ? null : $"{flag} is '{file}', and there is no folder {folder}. Make it, or name another file.";
    }
}
