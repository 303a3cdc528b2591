using System.Diagnostics.Metrics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using RaftKit;
using RaftKit.Hosting;
using RaftKit.Recipes;
using RaftKit.Znodes;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds a member of a RaftKit quorum to an application.</summary>
public static class RaftKitServiceCollectionExtensions
{
    private const string Section = "RaftKit";

    /// <summary>
    /// Embeds a member. Registers, as singletons: <see cref="IZnodeSession"/> (the host's own session), <see cref="IZnodeView"/> (immediate
    /// local reads), <see cref="IZnodeSessions"/> (to open more), <see cref="ZnodeSessionSource"/> (the host's session, and the next when
    /// it expired) <see cref="ILeaderElections"/> and <see cref="IQuorumMember"/>; and starts the member before the application's hosted
    /// services and stops it after them. Options come from the configuration section <c>RaftKit</c>, then from <paramref
    /// name="configure"/>, and are validated when the host starts.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Sets options; null: a durable quorum of one, or what the configuration says.</param>
    public static RaftKitBuilder AddRaftKit(this IServiceCollection services, Action<RaftKitOptions>? configure = null) =>
        Add(services, null, (_, options) => configure?.Invoke(options));

    /// <summary>
    /// As <see cref="AddRaftKit(IServiceCollection, Action{RaftKitOptions})"/>, with options that depend on other services.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Sets options.</param>
    public static RaftKitBuilder AddRaftKit(this IServiceCollection services, Action<IServiceProvider, RaftKitOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        return Add(services, null, configure);
    }

    /// <summary>
    /// As <see cref="AddRaftKit(IServiceCollection, Action{RaftKitOptions})"/>, with options from another section of the configuration.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="configuration">The section that has the options.</param>
    public static RaftKitBuilder AddRaftKit(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        return Add(services, null, (_, options) => configuration.Bind(options));
    }

    /// <summary>
    /// Embeds a member of one more cluster, told apart by a key: its services are registered under the key, its options come from the
    /// section <c>RaftKit:{key}</c>, and its data lives in <c>raftkit-data-{key}</c> unless the options say otherwise.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="key">The cluster's key.</param>
    /// <param name="configure">Sets options.</param>
    public static RaftKitBuilder AddKeyedRaftKit(this IServiceCollection services, string key, Action<RaftKitOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(key);
        return Add(services, key, (_, options) => configure?.Invoke(options));
    }

    /// <summary>
    /// As <see cref="AddKeyedRaftKit(IServiceCollection, string, Action{RaftKitOptions})"/>, with options that depend on other services.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="key">The cluster's key.</param>
    /// <param name="configure">Sets options.</param>
    public static RaftKitBuilder AddKeyedRaftKit(
        this IServiceCollection services, string key, Action<IServiceProvider, RaftKitOptions> configure)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(key);
        ArgumentNullException.ThrowIfNull(configure);
        return Add(services, key, configure);
    }

    private static RaftKitBuilder Add(IServiceCollection services, string? key, Action<IServiceProvider, RaftKitOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        var name = key ?? Options.Options.DefaultName;
        var section = key is null ? Section : $"{Section}:{key}";
        var known = services.Any(s => s.ServiceType == typeof(RaftKitHost) && Equals(s.ServiceKey, key));
        if (!known)
            AddDefaults(services, key, name, section);

        // After the section's values, so that code has the last word; a second call adds to the first.
        services.AddSingleton<IConfigureOptions<RaftKitOptions>>(
            sp => new ConfigureNamedOptions<RaftKitOptions>(name, options => configure(sp, options)));
        return new RaftKitBuilder(services, key);
    }

    private static void AddDefaults(IServiceCollection services, string? key, string name, string section)
    {
        services.AddLogging();
        services.AddMetrics();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(sp => new RaftKitMetrics(sp.GetRequiredService<IMeterFactory>()));
        services.TryAddSingleton<IClusterMemberFactory>(sp => new ClusterMemberFactory(
            sp.GetRequiredService<TimeProvider>(), sp.GetRequiredService<ILoggerFactory>(), sp.GetService<IHostEnvironment>()));

        services.AddOptions<RaftKitOptions>(name).ValidateOnStart();
        services.AddSingleton<IValidateOptions<RaftKitOptions>>(new RaftKitOptionsValidator(name, section));
        services.AddSingleton<IConfigureOptions<RaftKitOptions>>(sp => new ConfigureNamedOptions<RaftKitOptions>(name, options =>
        {
            if (key is not null)
                options.DataDirectory += "-" + key;
            sp.GetService<IConfiguration>()?.GetSection(section).Bind(options);
        }));

        AddService(services, key, sp => Create(sp, key, name));
        AddService<IZnodeSessions>(services, key, sp => Host(sp, key).Member.Sessions);
        AddService(services, key, sp => Host(sp, key).Member.Sessions.View);
        AddService(services, key, sp => Host(sp, key).SessionSource);
        AddService(services, key, sp => Host(sp, key).Session);
        AddService<ILeaderElections>(services, key, sp => Host(sp, key));
        AddService<IQuorumMember>(services, key, sp => Host(sp, key));
        AddService(services, key, sp => Host(sp, key).Member.Membership);
        AddService(services, key, sp => Host(sp, key).Member.Levels);
        services.AddSingleton<IHostedService>(
            sp => new RaftKitHostedService(Host(sp, key), Logger(sp)));
    }

    private static RaftKitHost Create(IServiceProvider sp, string? key, string name)
    {
        var options = sp.GetRequiredService<IOptionsMonitor<RaftKitOptions>>().Get(name);
        return new RaftKitHost(
            key,
            options,
            sp.GetRequiredService<IClusterMemberFactory>().Create(
                options, [.. sp.GetServices<IStateMachineRegistration>().Where(r => r.Key == key).Select(r => r.Machine)]),
            sp.GetRequiredService<TimeProvider>(),
            sp.GetRequiredService<RaftKitMetrics>(),
            Logger(sp));
    }

    private static RaftKitHost Host(IServiceProvider sp, string? key) =>
        key is null ? sp.GetRequiredService<RaftKitHost>() : sp.GetRequiredKeyedService<RaftKitHost>(key);

    private static ILogger Logger(IServiceProvider sp) => sp.GetRequiredService<ILoggerFactory>().CreateLogger("RaftKit");

    private static void AddService<T>(IServiceCollection services, string? key, Func<IServiceProvider, T> create)
        where T : class
    {
        if (key is null)
            services.AddSingleton(create);
        else
            services.AddKeyedSingleton(key, (sp, _) => create(sp));
    }
}
